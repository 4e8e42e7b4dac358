-- title: Networks that have most of one count, and all their counts
-- parameters: first_day, last_day, limit
-- words: count
--
-- A network cannot have more in the span than over all days. So the networks that have most over all days say how much
-- one must have to be among the first, and days are added up only of those that have as much over all days.
--
-- Each network's days are added up by a query of their own, from the index by network and day. Joined, they would be
-- left to PostgreSQL's guess that a third of all networks have enough, and all days of all networks be read.
WITH enough AS (
    SELECT MIN(of_span) AS {count}
    FROM (
        SELECT (
            SELECT COALESCE(SUM(c.{count}), 0)
            FROM asn_session_counts AS c
            WHERE c.asn_number = most.asn_number AND c.day BETWEEN :first_day AND :last_day
        ) AS of_span
        FROM (
            SELECT asn_number FROM asn_session_totals WHERE asn_number <> 0 ORDER BY {count} DESC LIMIT :limit
        ) AS most
    ) AS sums
),
top AS (
    SELECT t.asn_number, (
        SELECT COALESCE(SUM(c.{count}), 0)
        FROM asn_session_counts AS c
        WHERE c.asn_number = t.asn_number AND c.day BETWEEN :first_day AND :last_day
    ) AS {count}
    FROM asn_session_totals AS t
    WHERE t.{count} >= (SELECT {count} FROM enough) AND t.{count} > 0 AND t.asn_number <> 0
    ORDER BY 2 DESC, 1
    LIMIT :limit
),
of_all AS (
    SELECT SUM({count}) AS {count} FROM country_session_counts WHERE day BETWEEN :first_day AND :last_day
)
SELECT
    counted.asn_number, a.organization_name, a.organization_country, a.asn_type,
    CAST(counted.{count} AS DOUBLE PRECISION) / of_all.{count} AS share, counted.sessions, counted.logins,
    counted.successful_logins, counted.commands, counted.downloads, counted.days
FROM (
    SELECT
        c.asn_number, SUM(c.sessions) AS sessions, SUM(c.logins) AS logins,
        SUM(c.successful_logins) AS successful_logins, SUM(c.commands) AS commands, SUM(c.downloads) AS downloads,
        COUNT(*) AS days
    FROM top
    CROSS JOIN asn_session_counts AS c
    WHERE top.{count} > 0 AND c.asn_number = top.asn_number AND c.day BETWEEN :first_day AND :last_day
    GROUP BY c.asn_number
) AS counted
JOIN asn_inventory AS a ON a.asn_number = counted.asn_number
CROSS JOIN of_all
