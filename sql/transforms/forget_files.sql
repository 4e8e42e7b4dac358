-- title: Files that were first or last transferred in a span of time, as it was thought, and were not
-- reads: session_files, retired_files; :start, :end
--
-- A day can be made anew from fewer lines. A file that other days have comes back with the next of them; what was
-- asked about it is in the cache.
DELETE FROM file_reputation
WHERE ((first_seen >= :start AND first_seen < :end) OR (last_seen >= :start AND last_seen < :end))
  AND sha256 NOT IN (
    SELECT sha256 FROM session_files WHERE event_at >= :start AND event_at < :end AND sha256 IS NOT NULL
    UNION
    SELECT sha256 FROM retired_files WHERE first_seen >= :start AND first_seen < :end
  )
