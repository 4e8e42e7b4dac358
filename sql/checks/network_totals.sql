-- asset: asn_session_counts
-- severity: error
-- blocks: no
-- title: A network's total is the sum of its days
-- why: asn_inventory is what people look at first; its total has to be the one that the days add up to.
-- remedy: Materialize asn_session_counts for a day on which the network attacked again.
SELECT a.asn_number, a.organization_name, a.total_session_count, COALESCE(r.sessions, 0) AS total_recounted
FROM asn_inventory AS a
LEFT JOIN (
    SELECT asn_number, SUM(sessions) AS sessions FROM asn_session_counts GROUP BY asn_number
) AS r ON r.asn_number = a.asn_number
WHERE a.total_session_count <> COALESCE(r.sessions, 0)
