-- title: The outcomes of look-ups are kept; only an answer replaces an answer
-- reads: staged_outcomes
INSERT INTO enrichment_cache (
    service, key, status, payload, fetched_at, expires_at, retry_at, response_code, latency_ms, error, failures
)
SELECT service, key, status, payload, fetched_at, expires_at, retry_at, response_code, latency_ms, error, failures
FROM staged_outcomes
WHERE true
ORDER BY service, key
ON CONFLICT (service, key) DO UPDATE SET
    status = CASE
        WHEN excluded.status IN ('hit', 'not_found') OR enrichment_cache.status NOT IN ('hit', 'not_found')
        THEN excluded.status ELSE enrichment_cache.status
    END,
    payload = CASE
        WHEN excluded.status IN ('hit', 'not_found') OR enrichment_cache.status NOT IN ('hit', 'not_found')
        THEN excluded.payload ELSE enrichment_cache.payload
    END,
    fetched_at = CASE
        WHEN excluded.status IN ('hit', 'not_found') OR enrichment_cache.status NOT IN ('hit', 'not_found')
        THEN excluded.fetched_at ELSE enrichment_cache.fetched_at
    END,
    expires_at = CASE
        WHEN excluded.status IN ('hit', 'not_found') OR enrichment_cache.status NOT IN ('hit', 'not_found')
        THEN excluded.expires_at ELSE enrichment_cache.expires_at
    END,
    retry_at = excluded.retry_at,
    response_code = excluded.response_code,
    latency_ms = excluded.latency_ms,
    error = excluded.error,
    -- a rate limit or a spent budget is neither a failure of the key nor its end
    failures = CASE
        WHEN excluded.status IN ('hit', 'not_found', 'error')
        THEN excluded.failures ELSE enrichment_cache.failures
    END
