-- title: Networks by sessions
-- question: Which networks attack most often?
-- parameters: first_day, last_day, limit
-- columns: asn_number integer, organization_name text, organization_country text, asn_type text, sessions integer,
--   share number, logins integer, successful_logins integer, commands integer, downloads integer, days integer
-- interactive: snapshot
-- asset: asn_session_counts
-- plot: sessions by organization_name
--
-- Networks at attack time, by snapshot. A session counts on the day on which it began. `share` is of the sessions of
-- all sessions of the span, also of those whose network is not known, which are no row here. `days` counts the days on
-- which the network came.
--
-- A network cannot have more in the span than over all days. So the networks that have most over all days say how much
-- one must have to be among the first, and days are added up only of those that have as much over all days.
WITH enough AS (
    SELECT MIN(of_span) AS sessions
    FROM (
        SELECT COALESCE(SUM(c.sessions), 0) AS of_span
        FROM (
            SELECT asn_number FROM asn_session_totals WHERE asn_number <> 0 ORDER BY sessions DESC LIMIT :limit
        ) AS most
        LEFT JOIN asn_session_counts AS c
            ON c.asn_number = most.asn_number AND c.day BETWEEN :first_day AND :last_day
        GROUP BY most.asn_number
    ) AS sums
),
of_all AS (
    SELECT SUM(sessions) AS sessions FROM country_session_counts WHERE day BETWEEN :first_day AND :last_day
)
SELECT
    top.asn_number, a.organization_name, a.organization_country, a.asn_type, top.sessions,
    CAST(top.sessions AS DOUBLE PRECISION) / of_all.sessions AS share, top.logins, top.successful_logins,
    top.commands, top.downloads,
    top.days
FROM (
    -- CROSS JOIN is the order in which SQLite goes
    SELECT
        c.asn_number, SUM(c.sessions) AS sessions, SUM(c.logins) AS logins,
        SUM(c.successful_logins) AS successful_logins, SUM(c.commands) AS commands, SUM(c.downloads) AS downloads,
        COUNT(*) AS days
    FROM enough
    CROSS JOIN asn_session_totals AS t
    CROSS JOIN asn_session_counts AS c
    WHERE t.sessions >= enough.sessions AND t.asn_number <> 0
      AND c.asn_number = t.asn_number AND c.day BETWEEN :first_day AND :last_day
    GROUP BY c.asn_number
) AS top
JOIN asn_inventory AS a ON a.asn_number = top.asn_number
CROSS JOIN of_all
WHERE top.sessions > 0
ORDER BY top.sessions DESC, top.asn_number
LIMIT :limit
