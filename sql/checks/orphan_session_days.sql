-- asset: raw_sessions
-- severity: error
-- blocks: yes
-- title: Every day of a session belongs to a session
-- why: Sessions are added up from their days: a day without a session is work of an attacker that is counted
--   nowhere.
-- remedy: Foreign keys were off while something wrote to the database. Delete the rows of loaded_days for the days
--   shown and materialize them again.
SELECT d.day, d.session_day_key, d.session_key, d.sensor, d.session_id
FROM session_days AS d
WHERE d.day BETWEEN :first_day AND :last_day
  AND NOT EXISTS (SELECT 1 FROM session_summaries AS s WHERE s.session_key = d.session_key)
