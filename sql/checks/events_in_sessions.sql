-- asset: raw_sessions
-- severity: error
-- blocks: yes
-- title: The events of a day are the events of its sessions and those without a session
-- why: An event that is in no session was read and then lost: what it said is in no table.
-- remedy: Delete the rows of loaded_days for the days shown and materialize them again; if the rows stay, report it.
SELECT l.day, l.events, l.events_without_session, COALESCE(d.events, 0) AS events_in_sessions
FROM loaded_days AS l
LEFT JOIN (
    SELECT day, SUM(event_count) AS events
    FROM session_days
    WHERE imported_from IS NULL AND day BETWEEN :first_day AND :last_day
    GROUP BY day
) AS d ON d.day = l.day
WHERE l.day BETWEEN :first_day AND :last_day
  AND l.events <> l.events_without_session + COALESCE(d.events, 0)
