-- title: The imported sessions that are sessions of the logs on days just made, and which
-- reads: session_days, made_days
--
-- Earlier databases name no sensor, and not always an address: what is not known matches. Few rows are imported on a
-- day that is loaded, and CROSS JOIN keeps SQLite to this order.
INSERT INTO giving_way (session_key, successor)
SELECT i.session_key, MIN(d.session_key)
FROM made_days
CROSS JOIN session_days AS d
CROSS JOIN session_days AS i
WHERE d.day = made_days.day
  AND d.imported_from IS NULL
  AND i.imported_from IS NOT NULL
  AND i.session_id = d.session_id
  AND (i.sensor = '' OR i.sensor = d.sensor)
  AND (i.source = '' OR i.source = d.source)
  AND d.day BETWEEN i.day AND date(i.last_event_at)
GROUP BY i.session_key
