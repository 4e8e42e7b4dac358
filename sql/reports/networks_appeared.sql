-- title: Networks that appeared
-- question: Which networks attacked on these days and never before?
-- parameters: first_day, last_day, limit
-- columns: asn_number integer, organization_name text, asn_type text, first_attack day, sessions integer
-- span: week
-- interactive: no
--
-- By network at attack time. `sessions` are those of the span.
SELECT c.asn_number, a.organization_name, a.asn_type, MIN(c.day) AS first_attack, SUM(c.sessions) AS sessions
FROM asn_session_counts AS c
JOIN asn_inventory AS a ON a.asn_number = c.asn_number
WHERE c.day BETWEEN :first_day AND :last_day
  AND NOT EXISTS (
    SELECT 1 FROM asn_session_counts AS earlier WHERE earlier.asn_number = c.asn_number AND earlier.day < :first_day
  )
GROUP BY c.asn_number, a.organization_name, a.asn_type
ORDER BY sessions DESC, c.asn_number
LIMIT :limit
