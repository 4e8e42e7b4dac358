-- title: The files transferred in a span of time of which the scanners must be asked
-- reads: file_reputation, session_files; :start, :end, :now
--
-- Those come first that were seen on the newest day; among equals those that were seen most often.
SELECT sha256
FROM file_reputation
WHERE (due_at IS NULL OR due_at <= :now)
  AND sha256 IN (
    SELECT sha256 FROM session_files WHERE event_at >= :start AND event_at < :end AND sha256 IS NOT NULL
  )
ORDER BY date(last_seen) DESC, transfers DESC, sha256
