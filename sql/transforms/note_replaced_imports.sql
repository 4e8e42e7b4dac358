-- title: Where imported sessions came from is kept, with the sessions of the logs that they gave way to
-- reads: imported_sessions, giving_way
UPDATE imported_sessions
SET session_key = NULL, gave_way_to = giving_way.successor
FROM giving_way
WHERE imported_sessions.session_key = giving_way.session_key
