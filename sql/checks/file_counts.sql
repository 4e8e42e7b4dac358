-- asset: file_reputation
-- severity: error
-- blocks: no
-- title: Each file's number of transfers, first and last time are those of the sessions that brought it
-- why: How often and how long a file was brought says how wide a campaign is; reports rank files by it.
-- remedy: Materialize file_reputation for the days shown again; if the rows stay, report it.
SELECT
    counted.sha256, f.transfers, counted.transfers AS transfers_recounted, counted.first_seen AS
    first_seen_recounted, counted.last_seen AS last_seen_recounted
FROM (
    SELECT sha256, SUM(transfers) AS transfers, MIN(first_seen) AS first_seen, MAX(last_seen) AS last_seen
    FROM (
        SELECT sha256, event_at AS first_seen, event_at AS last_seen, 1 AS transfers FROM session_files
        UNION ALL
        SELECT sha256, first_seen, last_seen, transfers FROM retired_files
    ) AS transferred
    WHERE sha256 IN (
        SELECT sha256 FROM session_files WHERE event_at >= :start AND event_at < :end AND sha256 IS NOT NULL
        UNION
        SELECT sha256 FROM retired_files WHERE first_seen >= :start AND first_seen < :end
    )
    GROUP BY sha256
) AS counted
LEFT JOIN file_reputation AS f ON f.sha256 = counted.sha256
WHERE f.sha256 IS NULL
   OR f.transfers <> counted.transfers
   OR f.first_seen <> counted.first_seen
   OR f.last_seen <> counted.last_seen
