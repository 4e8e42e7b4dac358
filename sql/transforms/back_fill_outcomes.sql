-- title: Answers kept elsewhere come in with their age, where no answer is or an older one
-- reads: staged_outcomes
--
-- What failed after the answer was fetched still says when to ask again.
INSERT INTO enrichment_cache (
    service, key, status, payload, fetched_at, expires_at, retry_at, response_code, latency_ms, error, failures
)
SELECT service, key, status, payload, fetched_at, expires_at, retry_at, response_code, latency_ms, error, failures
FROM staged_outcomes
WHERE true
ORDER BY service, key
ON CONFLICT (service, key) DO UPDATE SET
    status = excluded.status,
    payload = excluded.payload,
    fetched_at = excluded.fetched_at,
    expires_at = excluded.expires_at,
    response_code = excluded.response_code,
    latency_ms = excluded.latency_ms,
    retry_at = CASE
        WHEN enrichment_cache.fetched_at > excluded.fetched_at THEN enrichment_cache.retry_at ELSE excluded.retry_at
    END,
    error = CASE
        WHEN enrichment_cache.fetched_at > excluded.fetched_at THEN enrichment_cache.error ELSE excluded.error
    END,
    failures = CASE
        WHEN enrichment_cache.fetched_at > excluded.fetched_at THEN enrichment_cache.failures ELSE excluded.failures
    END
WHERE enrichment_cache.status NOT IN ('hit', 'not_found') OR enrichment_cache.fetched_at < excluded.fetched_at
