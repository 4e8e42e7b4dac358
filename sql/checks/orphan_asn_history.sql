-- asset: ip_inventory
-- severity: error
-- blocks: yes
-- title: Every span of an address's history names an address and a network that exist
-- why: Snapshots of older sessions are taken from the history; one that names nothing gives a snapshot of nothing.
-- remedy: Foreign keys were off while something wrote to the database. Delete the rows shown.
SELECT h.ip_address, h.asn_number, h.observed_from
FROM ip_asn_history AS h
WHERE NOT EXISTS (SELECT 1 FROM ip_inventory AS i WHERE i.ip_address = h.ip_address)
   OR NOT EXISTS (SELECT 1 FROM asn_inventory AS a WHERE a.asn_number = h.asn_number)
