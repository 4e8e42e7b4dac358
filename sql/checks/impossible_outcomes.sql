-- asset: ip_inventory
-- severity: error
-- blocks: no
-- title: Every remembered look-up ended in a way that there is: a hit has facts, and each has a time to ask again
-- why: A look-up without an end is never asked again; a hit without facts hides that nothing is known.
-- remedy: Delete the rows shown from enrichment_cache; they are asked again. If they come back, report it.
SELECT service, key, status, fetched_at, expires_at, retry_at
FROM enrichment_cache
WHERE CASE
    WHEN status = 'hit' THEN payload IS NULL OR expires_at IS NULL
    WHEN status = 'not_found' THEN expires_at IS NULL
    WHEN status IN ('error', 'rate_limited', 'skipped_budget') THEN retry_at IS NULL
    ELSE status <> 'not_applicable'
END
