-- title: Countries by sessions
-- question: From which countries do the sessions come?
-- parameters: first_day, last_day, limit
-- columns: country text, sessions integer, share number, logins integer, successful_logins integer, commands integer,
--   downloads integer, days integer
-- interactive: snapshot
-- asset: asn_session_counts
-- plot: sessions by country
--
-- The country of the address at attack time, by snapshot; NULL where none was known. `share` is of all sessions of the
-- span.
SELECT
    NULLIF(country, '') AS country, SUM(sessions) AS sessions,
    CAST(SUM(sessions) AS DOUBLE PRECISION) / SUM(SUM(sessions)) OVER () AS share,
    SUM(logins) AS logins, SUM(successful_logins) AS successful_logins, SUM(commands) AS commands,
    SUM(downloads) AS downloads, COUNT(*) AS days
FROM country_session_counts
WHERE day BETWEEN :first_day AND :last_day
GROUP BY country_session_counts.country
ORDER BY 2 DESC, country_session_counts.country
LIMIT :limit
