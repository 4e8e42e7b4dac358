-- title: Networks by addresses
-- question: Which networks attack from most addresses?
-- parameters: first_day, last_day, start, end, limit
-- columns: asn_number integer, organization_name text, organization_country text, asn_type text, addresses integer,
--   sessions integer
-- interactive: join
--
-- Networks at attack time, by snapshot. `addresses` are the different ones in the whole span: an address that came on
-- several days is one, which is why the counts by day are not added up.
SELECT
    top.asn_number, a.organization_name, a.organization_country, a.asn_type, top.addresses, top.sessions
FROM (
    SELECT snapshot_asn AS asn_number, COUNT(DISTINCT source_ip) AS addresses, COUNT(*) AS sessions
    FROM session_summaries
    WHERE first_event_at >= :start AND first_event_at < :end AND snapshot_asn IS NOT NULL
    GROUP BY snapshot_asn
) AS top
JOIN asn_inventory AS a ON a.asn_number = top.asn_number
ORDER BY top.addresses DESC, top.asn_number
LIMIT :limit
