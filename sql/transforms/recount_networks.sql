-- title: What the addresses say of each touched network
-- reads: ip_inventory, touched_networks
--
-- Only columns of the index by network are named, so that the addresses themselves need not be read.
UPDATE asn_inventory
SET unique_ip_count = counted.addresses, first_seen = counted.first_seen, last_seen = counted.last_seen
FROM (
    SELECT
        touched.asn_number, COUNT(i.current_asn) AS addresses,
        MIN(i.first_seen) AS first_seen, MAX(i.last_seen) AS last_seen
    FROM (SELECT DISTINCT asn_number FROM touched_networks) AS touched
    LEFT JOIN ip_inventory AS i ON i.current_asn = touched.asn_number
    GROUP BY touched.asn_number
) AS counted
WHERE asn_inventory.asn_number = counted.asn_number
