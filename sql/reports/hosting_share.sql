-- title: Sessions by type of network
-- question: What share of the sessions comes from hosting, and what from other types of networks?
-- parameters: first_day, last_day, limit
-- columns: asn_type text, is_known_hosting boolean, networks integer, sessions integer, share number, logins integer,
--   successful_logins integer, downloads integer
-- interactive: join
-- asset: asn_session_counts
-- plot: share by asn_type
--
-- The network is that at attack time, by snapshot; its type is what is known of it now. `share` is of all sessions of
-- the span; those whose network is not known have neither a type nor a network to count.
--
-- Days are added up, or, where the span has most of them, what the others have is taken from the totals.
WITH most AS (
    SELECT COALESCE(SUM(CASE WHEN day BETWEEN :first_day AND :last_day THEN 1 ELSE -1 END), 0) > 0 AS is_so
    FROM country_session_counts
),
counted AS (
    SELECT c.asn_number, c.sessions, c.logins, c.successful_logins, c.downloads
    FROM most CROSS JOIN asn_session_counts AS c
    WHERE NOT most.is_so AND c.day BETWEEN :first_day AND :last_day
    UNION ALL
    SELECT t.asn_number, t.sessions, t.logins, t.successful_logins, t.downloads
    FROM most CROSS JOIN asn_session_totals AS t
    WHERE most.is_so
    UNION ALL
    SELECT c.asn_number, -c.sessions, -c.logins, -c.successful_logins, -c.downloads
    FROM most CROSS JOIN asn_session_counts AS c
    WHERE most.is_so AND (c.day < :first_day OR c.day > :last_day)
)
SELECT
    a.asn_type, a.is_known_hosting, COUNT(a.asn_number) AS networks, SUM(c.sessions) AS sessions,
    CAST(SUM(c.sessions) AS DOUBLE PRECISION) / SUM(SUM(c.sessions)) OVER () AS share,
    SUM(c.logins) AS logins, SUM(c.successful_logins) AS successful_logins, SUM(c.downloads) AS downloads
FROM (
    SELECT
        asn_number, SUM(sessions) AS sessions, SUM(logins) AS logins, SUM(successful_logins) AS successful_logins,
        SUM(downloads) AS downloads
    FROM counted
    GROUP BY asn_number
    HAVING SUM(sessions) > 0
) AS c
LEFT JOIN asn_inventory AS a ON a.asn_number = c.asn_number
GROUP BY a.asn_type, a.is_known_hosting
ORDER BY 4 DESC, a.asn_type NULLS LAST, a.is_known_hosting NULLS LAST
LIMIT :limit
