-- title: What the sessions just written say of each address that has no others
-- reads: brought_addresses, touched_addresses
UPDATE ip_inventory
SET session_count = brought.sessions, first_seen = brought.first_seen, last_seen = brought.last_seen
FROM (
    SELECT
        ip_address, CAST(SUM(sessions) AS BIGINT) AS sessions,
        MIN(first_seen) AS first_seen, MAX(last_seen) AS last_seen
    FROM brought_addresses
    WHERE ip_address IN (SELECT ip_address FROM brought_addresses EXCEPT SELECT ip_address FROM touched_addresses)
    GROUP BY ip_address
) AS brought
WHERE ip_inventory.ip_address = brought.ip_address
