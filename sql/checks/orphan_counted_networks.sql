-- asset: asn_session_counts
-- severity: error
-- blocks: no
-- title: Every network counted is in asn_inventory
-- why: A join with asn_inventory loses these sessions, and the sums of a report do not add up.
-- remedy: Materialize asn_session_counts for the days shown again.
SELECT c.day, c.asn_number, c.sessions
FROM asn_session_counts AS c
WHERE c.day BETWEEN :first_day AND :last_day
  AND c.asn_number <> 0
  AND NOT EXISTS (SELECT 1 FROM asn_inventory AS a WHERE a.asn_number = c.asn_number)
