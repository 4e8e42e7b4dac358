-- title: Sessions per network and day, at attack time
-- reads: session_summaries, counted_days
INSERT INTO asn_session_counts (
    day, asn_number, sessions, unique_ips, logins, successful_logins, commands, downloads
)
SELECT
    date(first_event_at), COALESCE(snapshot_asn, 0), COUNT(*), COUNT(DISTINCT source_ip),
    SUM(login_success_count + login_failed_count), SUM(login_success_count), SUM(command_count),
    SUM(file_download_count)
FROM session_summaries
WHERE date(first_event_at) IN (SELECT day FROM counted_days)
  AND first_event_at >= :start AND first_event_at < :end
GROUP BY date(first_event_at), COALESCE(snapshot_asn, 0)
ORDER BY 1, 2
