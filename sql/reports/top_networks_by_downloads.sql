-- title: Networks by downloads
-- question: Which networks have the honeypot fetch most files?
-- parameters: first_day, last_day, limit
-- columns: asn_number integer, organization_name text, organization_country text, asn_type text, downloads integer,
--   share number, sessions integer, logins integer, successful_logins integer, commands integer, days integer
-- interactive: snapshot
--
-- Networks at attack time, by snapshot. A file fetched twice is two downloads; files that were brought (uploads) are
-- none. `share` is of the downloads of all sessions of the span, also of those whose network is not known, which are no
-- row here. `days` counts the days on which the network came.
--
-- A network cannot have more in the span than over all days. So the networks that have most over all days say how much
-- one must have to be among the first, and days are added up only of those that have as much over all days.
WITH enough AS (
    SELECT MIN(of_span) AS downloads
    FROM (
        SELECT COALESCE(SUM(c.downloads), 0) AS of_span
        FROM (
            SELECT asn_number FROM asn_session_totals WHERE asn_number <> 0 ORDER BY downloads DESC LIMIT :limit
        ) AS most
        LEFT JOIN asn_session_counts AS c
            ON c.asn_number = most.asn_number AND c.day BETWEEN :first_day AND :last_day
        GROUP BY most.asn_number
    ) AS sums
),
of_all AS (
    SELECT SUM(downloads) AS downloads FROM country_session_counts WHERE day BETWEEN :first_day AND :last_day
)
SELECT
    top.asn_number, a.organization_name, a.organization_country, a.asn_type, top.downloads,
    CAST(top.downloads AS DOUBLE PRECISION) / of_all.downloads AS share, top.sessions, top.logins,
    top.successful_logins, top.commands,
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
    WHERE t.downloads >= enough.downloads AND t.asn_number <> 0
      AND c.asn_number = t.asn_number AND c.day BETWEEN :first_day AND :last_day
    GROUP BY c.asn_number
) AS top
JOIN asn_inventory AS a ON a.asn_number = top.asn_number
CROSS JOIN of_all
WHERE top.downloads > 0
ORDER BY top.downloads DESC, top.asn_number
LIMIT :limit
