-- asset: ip_inventory
-- severity: error
-- blocks: no
-- title: Every remembered look-up ended in a way that there is: a hit has facts, and each has a time to ask again
-- remedy: Delete the rows shown from enrichment_cache; they are asked again. If they come back, report it.
SELECT service, key, status, fetched_at, expires_at, retry_at
FROM enrichment_cache
WHERE status NOT IN ('hit', 'not_found', 'error', 'rate_limited', 'skipped_budget', 'not_applicable')
   OR (status = 'hit' AND payload IS NULL)
   OR (status IN ('hit', 'not_found') AND expires_at IS NULL)
   OR (status IN ('error', 'rate_limited', 'skipped_budget') AND retry_at IS NULL)
