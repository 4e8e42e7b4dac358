-- asset: asn_session_counts
-- severity: error
-- blocks: no
-- title: The days' counts by country are recounts of their sessions
-- why: Reports by country read the counts, not the sessions: a wrong count is a wrong report that nobody sees.
-- remedy: Sessions or snapshots came after the day was counted. Materialize asn_session_counts for the days shown again.
--
-- Put together and added up, not joined: see network_session_counts.
SELECT
    day, country, SUM(sessions) AS sessions, SUM(sessions_recounted) AS sessions_recounted,
    1 - SUM(is_counted) AS missing, 1 - SUM(is_recounted) AS missing_in_recount
FROM (
    SELECT
        day, country, 1 AS is_counted, 0 AS is_recounted, sessions, 0 AS sessions_recounted, logins,
        successful_logins, commands, downloads
    FROM country_session_counts
    WHERE day BETWEEN :first_day AND :last_day
    UNION ALL
    SELECT
        date(first_event_at), COALESCE(snapshot_country, ''), 0, 1, 0, COUNT(*),
        -SUM(login_success_count + login_failed_count), -SUM(login_success_count), -SUM(command_count),
        -SUM(file_download_count)
    FROM session_summaries
    WHERE first_event_at >= :start AND first_event_at < :end
    GROUP BY date(first_event_at), COALESCE(snapshot_country, '')
) AS both_counts
GROUP BY day, country
HAVING SUM(is_counted) <> SUM(is_recounted) OR SUM(sessions) <> SUM(sessions_recounted)
    OR SUM(logins) <> 0 OR SUM(successful_logins) <> 0 OR SUM(commands) <> 0 OR SUM(downloads) <> 0
