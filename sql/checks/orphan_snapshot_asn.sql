-- asset: session_snapshots
-- severity: error
-- blocks: yes
-- title: Every snapshot's network is in asn_inventory
-- why: A join with asn_inventory loses these sessions, and counts by network are too low.
-- remedy: Foreign keys were off while something wrote to the database. Insert the networks shown into asn_inventory.
SELECT s.session_key, s.first_event_at, s.snapshot_asn
FROM session_summaries AS s
WHERE s.first_event_at >= :start AND s.first_event_at < :end
  AND s.snapshot_asn IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM asn_inventory AS a WHERE a.asn_number = s.snapshot_asn)
