-- asset: asn_session_counts
-- severity: error
-- blocks: no
-- title: Each network has as many addresses on a day as are counted
-- why: The ranking of networks by addresses over a span of days is read from asn_addresses.
-- remedy: Addresses by month and counts by day were not written together. Materialize asn_session_counts for the days
--   shown again.
SELECT c.day, c.asn_number, c.unique_ips, COALESCE(r.addresses, 0) AS addresses
FROM (
    SELECT
        day, asn_number, unique_ips,
        CAST(substr(CAST(day AS TEXT), 1, 4) || substr(CAST(day AS TEXT), 6, 2) AS INTEGER) AS month
    FROM asn_session_counts
    WHERE day BETWEEN :first_day AND :last_day AND asn_number <> 0
) AS c
LEFT JOIN (
    SELECT d.day, n.asn_number, COUNT(*) AS addresses
    FROM (SELECT DISTINCT day FROM asn_session_counts WHERE day BETWEEN :first_day AND :last_day) AS d
    JOIN asn_addresses AS n
        ON n.month = CAST(substr(CAST(d.day AS TEXT), 1, 4) || substr(CAST(d.day AS TEXT), 6, 2) AS INTEGER)
        AND (n.days & (CAST(1 AS BIGINT) << CAST(substr(CAST(d.day AS TEXT), 9, 2) AS INTEGER))) <> 0
    GROUP BY d.day, n.asn_number
) AS r ON r.day = c.day AND r.asn_number = c.asn_number
WHERE c.unique_ips <> COALESCE(r.addresses, 0)
