-- asset: asn_session_counts
-- severity: error
-- blocks: no
-- title: Each network has as many addresses on a day as are counted
-- why: The ranking of networks by addresses over a span of days is read from asn_addresses.
-- remedy: Addresses by month and counts by day were not written together. Materialize asn_session_counts for the days
--   shown again.
--
-- Both sides are put one after the other and added up. Joined, PostgreSQL expects few of either and counts the addresses of
-- all days again for each network.
SELECT day, asn_number, SUM(unique_ips) AS unique_ips, SUM(addresses) AS addresses
FROM (
    SELECT day, asn_number, unique_ips, 0 AS addresses
    FROM asn_session_counts
    WHERE day BETWEEN :first_day AND :last_day AND asn_number <> 0
    UNION ALL
    SELECT d.day, n.asn_number, 0, COUNT(*)
    FROM (SELECT DISTINCT day FROM asn_session_counts WHERE day BETWEEN :first_day AND :last_day) AS d
    JOIN asn_addresses AS n
        ON n.month = CAST(substr(CAST(d.day AS TEXT), 1, 4) || substr(CAST(d.day AS TEXT), 6, 2) AS INTEGER)
        AND (n.days & (CAST(1 AS BIGINT) << CAST(substr(CAST(d.day AS TEXT), 9, 2) AS INTEGER))) <> 0
    GROUP BY d.day, n.asn_number
) AS counted
GROUP BY day, asn_number
HAVING SUM(unique_ips) <> SUM(addresses)
