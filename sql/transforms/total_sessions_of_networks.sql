-- title: Each touched network's sessions over all days
-- reads: asn_session_counts, touched_networks
UPDATE asn_inventory
SET total_session_count = (
    SELECT COALESCE(SUM(c.sessions), 0)
    FROM asn_session_counts AS c
    WHERE c.asn_number = asn_inventory.asn_number
)
WHERE asn_number IN (SELECT asn_number FROM touched_networks)
