-- title: What the memory of look-ups saved, by service
-- question: How often did each service have to be asked, how often was the answer known, and how did it answer?
-- parameters: first_day, last_day, limit
-- columns: service text, hits integer, misses integer, hit_share number, stores integer, calls integer,
--   failures integer, failure_share number, latency_ms number
-- span: look_ups
-- interactive: snapshot
-- asset: ip_inventory
--
-- The days are those of the look-ups, not of the sessions. A hit is a key whose outcome was known and held, a miss one
-- that was not; `hit_share` is of both. `calls` went to the service, `failure_share` is of them, and `latency_ms` is
-- the mean of a call. NULL where there is nothing to divide by.
SELECT
    service, SUM(hits) AS hits, SUM(misses) AS misses,
    CAST(SUM(hits) AS DOUBLE PRECISION) / NULLIF(SUM(hits) + SUM(misses), 0) AS hit_share,
    SUM(stores) AS stores, SUM(calls) AS calls, SUM(failures) AS failures,
    CAST(SUM(failures) AS DOUBLE PRECISION) / NULLIF(SUM(calls), 0) AS failure_share,
    SUM(latency_ms) / NULLIF(SUM(calls), 0) AS latency_ms
FROM enrichment_cache_stats
WHERE day BETWEEN :first_day AND :last_day
GROUP BY service
ORDER BY service
LIMIT :limit
