-- asset: ip_inventory
-- severity: error
-- blocks: yes
-- title: Every address's network is in asn_inventory
-- why: A join with asn_inventory loses these addresses, and counts by network are too low.
-- remedy: Foreign keys were off while something wrote to the database. Insert the networks shown into asn_inventory,
--   or set current_asn of the addresses to NULL and enrichment_due_at to now, and materialize ip_inventory again.
SELECT i.ip_address, i.current_asn
FROM ip_inventory AS i
WHERE i.current_asn IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM asn_inventory AS a WHERE a.asn_number = i.current_asn)
