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
    c.asn_number, a.organization_name, a.organization_country, a.asn_type, c.sessions, c.sessions_before, c.growth,
    CAST(c.sessions AS DOUBLE PRECISION) / NULLIF(c.sessions_before, 0) AS ratio
FROM (
    SELECT asn_number, sessions, both_spans - sessions AS sessions_before, 2 * sessions - both_spans AS growth
    FROM (
        -- one look at each row's day, which SQLite takes for a number first
        SELECT
            asn_number, COALESCE(SUM(sessions) FILTER (WHERE day >= :first_day), 0) AS sessions,
            SUM(sessions) AS both_spans
        FROM asn_session_counts
        WHERE day BETWEEN :earlier_first_day AND :last_day AND asn_number <> 0
        GROUP BY asn_number
    ) AS counted
    -- here, so that names are looked up of those alone that are shown
    ORDER BY 4 DESC, 2 DESC, 1
    LIMIT :limit
) AS c
JOIN asn_inventory AS a ON a.asn_number = c.asn_number
ORDER BY c.growth DESC, c.sessions DESC, c.asn_number
