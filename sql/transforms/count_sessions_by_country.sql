-- title: Sessions per country and day, at attack time
-- reads: session_summaries, counted_days
INSERT INTO country_session_counts (day, country, sessions, logins, successful_logins, commands, downloads)
SELECT
    date(first_event_at), COALESCE(snapshot_country, ''), COUNT(*), SUM(login_success_count + login_failed_count),
    SUM(login_success_count), SUM(command_count), SUM(file_download_count)
FROM session_summaries
WHERE date(first_event_at) IN (SELECT day FROM counted_days)
  AND first_event_at >= :start AND first_event_at < :end
GROUP BY date(first_event_at), COALESCE(snapshot_country, '')
ORDER BY 1, 2
