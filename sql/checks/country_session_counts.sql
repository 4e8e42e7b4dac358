-- asset: asn_session_counts
-- severity: error
-- blocks: no
-- title: The days' counts by country are recounts of their sessions
-- remedy: Sessions or snapshots came after the day was counted. Materialize asn_session_counts for the days shown again.
SELECT
    COALESCE(c.day, r.day) AS day, COALESCE(c.country, r.country) AS country, c.sessions,
    r.sessions AS sessions_recounted
FROM (
    SELECT * FROM country_session_counts WHERE day BETWEEN :first_day AND :last_day
) AS c
FULL JOIN (
    SELECT
        date(first_event_at) AS day, COALESCE(snapshot_country, '') AS country, COUNT(*) AS sessions,
        SUM(login_success_count + login_failed_count) AS logins, SUM(login_success_count) AS successful_logins,
        SUM(command_count) AS commands, SUM(file_download_count) AS downloads
    FROM session_summaries
    WHERE first_event_at >= :start AND first_event_at < :end
    GROUP BY date(first_event_at), COALESCE(snapshot_country, '')
) AS r ON r.day = c.day AND r.country = c.country
WHERE c.day IS NULL OR r.day IS NULL
   OR c.sessions <> r.sessions OR c.logins <> r.logins OR c.successful_logins <> r.successful_logins
   OR c.commands <> r.commands OR c.downloads <> r.downloads
