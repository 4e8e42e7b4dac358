-- asset: asn_inventory
-- severity: error
-- blocks: no
-- title: A network's address count, first and last time are those of the addresses in it now
-- why: The size of a network's part in the attacks, and since when, are read from these columns.
-- remedy: Materialize ip_inventory for a day on which the network attacked; the networks touched are recounted.
SELECT a.asn_number, a.organization_name, a.unique_ip_count, COALESCE(r.addresses, 0) AS unique_ip_count_recounted
FROM asn_inventory AS a
LEFT JOIN (
    SELECT current_asn, COUNT(*) AS addresses, MIN(first_seen) AS first_seen, MAX(last_seen) AS last_seen
    FROM ip_inventory
    WHERE current_asn IS NOT NULL
    GROUP BY current_asn
) AS r ON r.current_asn = a.asn_number
WHERE a.unique_ip_count <> COALESCE(r.addresses, 0)
   OR a.first_seen IS DISTINCT FROM r.first_seen
   OR a.last_seen IS DISTINCT FROM r.last_seen
