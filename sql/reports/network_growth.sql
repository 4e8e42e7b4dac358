-- title: Growth of networks against the span before
-- question: Which networks attack more often than in the week (or as many days) before?
-- parameters: earlier_first_day, first_day, last_day, limit
-- columns: asn_number integer, organization_name text, organization_country text, asn_type text, sessions integer,
--   sessions_before integer, growth integer, ratio number
-- span: week
-- interactive: snapshot
-- asset: asn_session_counts
-- plot: growth by organization_name
--
-- Networks at attack time, by snapshot. `sessions_before` are those of as many days just before the span. `growth` is
-- the difference, negative for networks that attack less; `ratio` is sessions by sessions before, and NULL for a
-- network that did not come before.
SELECT
    c.asn_number, a.organization_name, a.organization_country, a.asn_type, c.sessions, c.sessions_before,
    c.sessions - c.sessions_before AS growth,
    CAST(c.sessions AS DOUBLE PRECISION) / NULLIF(c.sessions_before, 0) AS ratio
FROM (
    SELECT
        asn_number, SUM(CASE WHEN day >= :first_day THEN sessions ELSE 0 END) AS sessions,
        SUM(CASE WHEN day < :first_day THEN sessions ELSE 0 END) AS sessions_before
    FROM asn_session_counts
    WHERE day BETWEEN :earlier_first_day AND :last_day AND asn_number <> 0
    GROUP BY asn_number
) AS c
JOIN asn_inventory AS a ON a.asn_number = c.asn_number
ORDER BY growth DESC, c.sessions DESC, c.asn_number
LIMIT :limit
