-- title: Keys that are due and that nobody else is asking about are claimed
-- parameters: service, keys, holder, until, now (of the run, by which outcomes are due), clock (by which claims end)
--
-- Due is what `Outcome.is_due` says, and a test compares the two.
INSERT INTO enrichment_claims (service, key, claimed_by, claimed_until)
SELECT :service, wanted.value, :holder, :until
FROM json_each(:keys) AS wanted
LEFT JOIN enrichment_cache AS c ON c.service = :service AND c.key = wanted.value
WHERE c.key IS NULL OR CASE
    WHEN c.status IN ('hit', 'not_found')
    THEN c.expires_at IS NULL OR (c.expires_at <= :now AND COALESCE(c.retry_at, c.expires_at) <= :now)
    ELSE c.retry_at IS NULL OR c.retry_at <= :now
END
ON CONFLICT (service, key) DO UPDATE SET
    claimed_by = excluded.claimed_by,
    claimed_until = excluded.claimed_until
WHERE enrichment_claims.claimed_until <= :clock
RETURNING key
