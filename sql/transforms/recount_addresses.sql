-- title: What the sessions say of each touched address
-- reads: session_summaries, touched_addresses
UPDATE ip_inventory
SET session_count = counted.sessions, first_seen = counted.first_seen, last_seen = counted.last_seen
FROM (
    SELECT
        touched.ip_address, COUNT(s.session_key) AS sessions,
        MIN(s.first_event_at) AS first_seen, MAX(s.last_event_at) AS last_seen
    FROM (SELECT DISTINCT ip_address FROM touched_addresses) AS touched
    LEFT JOIN session_summaries AS s ON s.source_ip = touched.ip_address
    GROUP BY touched.ip_address
) AS counted
WHERE ip_inventory.ip_address = counted.ip_address
