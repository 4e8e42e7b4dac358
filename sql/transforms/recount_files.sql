-- title: What the sessions say of each file that was transferred in a span of time
-- reads: session_files, retired_files; :start, :end
INSERT INTO file_reputation (sha256, first_seen, last_seen, transfers)
SELECT sha256, MIN(first_seen), MAX(last_seen), CAST(SUM(transfers) AS BIGINT)
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
ORDER BY sha256
ON CONFLICT (sha256) DO UPDATE SET
    first_seen = excluded.first_seen,
    last_seen = excluded.last_seen,
    transfers = excluded.transfers
