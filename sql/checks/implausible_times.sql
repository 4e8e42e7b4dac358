-- asset: raw_sessions
-- severity: warn
-- blocks: no
-- title: No session lies before 2014 or in the future
-- why: A session with a wrong time is on the wrong day, in the wrong order, and its address was looked up for
--   another time.
-- remedy: The clock of the sensor shown was wrong (Cowrie's first version is of 2014). Set it, and take the times of
--   these sessions for unknown.
-- parameters: tomorrow
SELECT session_key, sensor, session_id, first_event_at, last_event_at
FROM session_summaries
WHERE first_event_at >= :start AND first_event_at < :end
  AND (first_event_at < :earliest OR last_event_at > :tomorrow)
