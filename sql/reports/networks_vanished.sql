-- title: Networks that vanished
-- question: Which networks attacked in the span before, as long as this one, and not in this one?
-- parameters: earlier_first_day, first_day, last_day, limit
-- columns: asn_number integer, organization_name text, asn_type text, last_attack day, sessions_before integer
-- span: week
-- interactive: no
--
-- By network at attack time. `sessions_before` are those of the span before.
SELECT c.asn_number, a.organization_name, a.asn_type, MAX(c.day) AS last_attack, SUM(c.sessions) AS sessions_before
FROM asn_session_counts AS c
JOIN asn_inventory AS a ON a.asn_number = c.asn_number
WHERE c.day >= :earlier_first_day AND c.day < :first_day
  AND NOT EXISTS (
    SELECT 1
    FROM asn_session_counts AS later
    WHERE later.asn_number = c.asn_number AND later.day BETWEEN :first_day AND :last_day
  )
GROUP BY c.asn_number, a.organization_name, a.asn_type
ORDER BY sessions_before DESC, c.asn_number
LIMIT :limit
