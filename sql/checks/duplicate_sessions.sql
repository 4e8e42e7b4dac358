-- asset: raw_sessions
-- severity: error
-- blocks: no
-- title: No two sessions of one sensor, id and source overlap
-- why: Counts of sessions, and everything by session, are too high by each that was taken for two.
-- remedy: One session was taken for two. Report it with the rows shown; counts of sessions are too high by them.
SELECT a.sensor, a.session_id, a.source, a.session_key, b.session_key AS other_session_key, a.first_event_at
FROM session_summaries AS a
JOIN session_days AS d ON d.session_id = a.session_id AND d.sensor = a.sensor
JOIN session_summaries AS b ON b.session_key = d.session_key
WHERE a.first_event_at >= :start AND a.first_event_at < :end
  AND b.source = a.source
  AND b.session_key <> a.session_key
  AND b.first_event_at < a.last_event_at AND a.first_event_at < b.last_event_at
