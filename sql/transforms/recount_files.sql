-- title: What the sessions say of each file that was transferred in a span of time
-- reads: session_files; :start, :end
INSERT INTO file_reputation (sha256, first_seen, last_seen, transfers)
SELECT sha256, MIN(event_at), MAX(event_at), COUNT(*)
FROM session_files
WHERE sha256 IN (
    SELECT sha256 FROM session_files WHERE event_at >= :start AND event_at < :end AND sha256 IS NOT NULL
)
GROUP BY sha256
ORDER BY sha256
ON CONFLICT (sha256) DO UPDATE SET
    first_seen = excluded.first_seen,
    last_seen = excluded.last_seen,
    transfers = excluded.transfers
