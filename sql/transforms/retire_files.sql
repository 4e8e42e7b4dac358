-- title: What file_reputation counts of a day whose details are about to be removed
-- reads: session_files; :day, :start, :end
INSERT INTO retired_files (day, sha256, first_seen, last_seen, transfers)
SELECT :day, sha256, MIN(event_at), MAX(event_at), COUNT(*)
FROM session_files
WHERE event_at >= :start AND event_at < :end AND sha256 IS NOT NULL
GROUP BY sha256
ORDER BY sha256
