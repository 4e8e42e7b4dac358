-- asset: raw_sessions
-- severity: error
-- blocks: yes
-- title: Every log-in, command, file, tunnel and key belongs to a session
-- why: What belongs to no session is in no report by session, address or network.
-- remedy: Foreign keys were off while something wrote to the database. Delete the rows of loaded_days for the days
--   shown and materialize them again.
SELECT d.kind, d.session_key, d.event_at
FROM (
    SELECT 'login_attempts' AS kind, session_key, event_at FROM login_attempts
    UNION ALL SELECT 'commands', session_key, event_at FROM commands
    UNION ALL SELECT 'session_files', session_key, event_at FROM session_files
    UNION ALL SELECT 'tunnels', session_key, event_at FROM tunnels
    UNION ALL SELECT 'client_keys', session_key, event_at FROM client_keys
) AS d
WHERE d.event_at >= :start AND d.event_at < :end
  AND NOT EXISTS (SELECT 1 FROM session_summaries AS s WHERE s.session_key = d.session_key)
