-- title: Networks by addresses
-- question: Which networks attack from most addresses?
-- parameters: first_day, last_day, limit
-- columns: asn_number integer, organization_name text, organization_country text, asn_type text, addresses integer,
--   sessions integer
-- interactive: join
--
-- Networks at attack time, by snapshot. `addresses` are the different ones in the whole span: an address that came on
-- several days is one, which is why the counts by day are not added up.
--
-- Added up they are a bound, as are those of all days. So the addresses of the networks that have most over all days
-- say how many one must have to be among the first, and addresses are counted only of networks whose bounds reach that.
WITH span AS (
    SELECT month, CAST(SUM(CAST(1 AS BIGINT) << day) AS BIGINT) AS days
    FROM (
        SELECT DISTINCT
            CAST(substr(CAST(day AS TEXT), 1, 4) || substr(CAST(day AS TEXT), 6, 2) AS INTEGER) AS month,
            CAST(substr(CAST(day AS TEXT), 9, 2) AS INTEGER) AS day
        FROM country_session_counts
        WHERE day BETWEEN :first_day AND :last_day
    ) AS days
    GROUP BY month
),
most AS (
    SELECT asn_number FROM asn_session_totals WHERE asn_number <> 0 ORDER BY address_days DESC LIMIT :limit
),
-- CROSS JOIN is the order in which SQLite goes
of_most AS (
    SELECT m.asn_number, COUNT(DISTINCT n.ip_address) AS addresses
    FROM most AS m
    CROSS JOIN span
    CROSS JOIN asn_addresses AS n
    WHERE n.month = span.month AND n.asn_number = m.asn_number AND (n.days & span.days) <> 0
    GROUP BY m.asn_number
),
enough AS (
    SELECT CASE WHEN COUNT(*) < (SELECT COUNT(*) FROM most) THEN 1 ELSE COALESCE(MIN(addresses), 1) END AS addresses
    FROM of_most
),
bounded AS (
    SELECT c.asn_number, SUM(c.sessions) AS sessions
    FROM enough
    CROSS JOIN asn_session_totals AS t
    CROSS JOIN asn_session_counts AS c
    WHERE t.address_days >= enough.addresses AND t.asn_number <> 0
      AND c.asn_number = t.asn_number AND c.day BETWEEN :first_day AND :last_day
    GROUP BY c.asn_number, enough.addresses
    HAVING SUM(c.unique_ips) >= enough.addresses
),
counted AS (
    SELECT asn_number, sessions, COUNT(*) AS addresses
    FROM (
        SELECT b.asn_number, b.sessions, n.ip_address
        FROM bounded AS b
        CROSS JOIN span
        CROSS JOIN asn_addresses AS n
        WHERE n.month = span.month AND n.asn_number = b.asn_number AND (n.days & span.days) <> 0
        GROUP BY b.asn_number, b.sessions, n.ip_address
    ) AS came
    GROUP BY asn_number, sessions
)
SELECT
    top.asn_number, a.organization_name, a.organization_country, a.asn_type, top.addresses, top.sessions
FROM counted AS top
JOIN asn_inventory AS a ON a.asn_number = top.asn_number
ORDER BY top.addresses DESC, top.asn_number
LIMIT :limit
