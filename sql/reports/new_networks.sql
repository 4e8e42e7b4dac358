-- title: New networks
-- question: Which networks attacked in the span and never before?
-- parameters: first_day, last_day, limit
-- columns: asn_number integer, organization_name text, organization_country text, asn_type text, first_day day,
--   sessions integer, logins integer, successful_logins integer, downloads integer
-- span: week
-- interactive: snapshot
-- asset: asn_session_counts
--
-- Networks at attack time, by snapshot. New is one that no earlier day with sessions has; `first_day` is the first of
-- the span on which it came. What happened before the first log that was read is not known, so at the beginning of the
-- data all are new.
SELECT
    t.asn_number, a.organization_name, a.organization_country, a.asn_type, t.first_day, SUM(c.sessions) AS sessions,
    SUM(c.logins) AS logins, SUM(c.successful_logins) AS successful_logins, SUM(c.downloads) AS downloads
FROM asn_session_totals AS t
CROSS JOIN asn_session_counts AS c
JOIN asn_inventory AS a ON a.asn_number = t.asn_number
WHERE t.first_day BETWEEN :first_day AND :last_day AND t.asn_number <> 0
  AND c.asn_number = t.asn_number AND c.day BETWEEN :first_day AND :last_day
GROUP BY t.asn_number, a.organization_name, a.organization_country, a.asn_type, t.first_day
ORDER BY 6 DESC, t.asn_number
LIMIT :limit
