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
-- say how many one must have to be among the first, and of the others addresses are counted only where the bounds reach
-- that. Each network has a query of its own, as in parts/first_networks.sql.
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
most AS MATERIALIZED (
    SELECT asn_number FROM asn_session_totals WHERE asn_number <> 0 ORDER BY address_days DESC, asn_number LIMIT :limit
),
-- CROSS JOIN is the order in which SQLite goes
of_most AS MATERIALIZED (
    SELECT most.asn_number, (
        SELECT COUNT(DISTINCT n.ip_address)
        FROM span
        CROSS JOIN asn_addresses AS n
        WHERE n.month = span.month AND n.asn_number = most.asn_number AND (n.days & span.days) <> 0
    ) AS addresses
    FROM most
),
others AS MATERIALIZED (
    SELECT t.asn_number
    FROM asn_session_totals AS t
    WHERE t.address_days >= (SELECT MIN(addresses) FROM of_most)
      AND t.asn_number <> 0 AND t.asn_number NOT IN (SELECT asn_number FROM most)
      AND (
          SELECT COALESCE(SUM(c.unique_ips), 0)
          FROM asn_session_counts AS c
          WHERE c.asn_number = t.asn_number AND c.day BETWEEN :first_day AND :last_day
      ) >= (SELECT MIN(addresses) FROM of_most)
),
top AS (
    SELECT asn_number, addresses FROM of_most
    UNION ALL
    SELECT others.asn_number, (
        SELECT COUNT(DISTINCT n.ip_address)
        FROM span
        CROSS JOIN asn_addresses AS n
        WHERE n.month = span.month AND n.asn_number = others.asn_number AND (n.days & span.days) <> 0
    ) AS addresses
    FROM others
    ORDER BY 2 DESC, 1
    LIMIT :limit
)
SELECT
    top.asn_number, a.organization_name, a.organization_country, a.asn_type, top.addresses, (
        SELECT SUM(c.sessions)
        FROM asn_session_counts AS c
        WHERE c.asn_number = top.asn_number AND c.day BETWEEN :first_day AND :last_day
    ) AS sessions
FROM top
JOIN asn_inventory AS a ON a.asn_number = top.asn_number
WHERE top.addresses > 0
ORDER BY top.addresses DESC, top.asn_number
