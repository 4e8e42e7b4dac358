-- asset: raw_sessions
-- severity: error
-- blocks: yes
-- title: A session's counts are the sums over its days
-- why: Everything that counts log-ins, commands and files by session, address or network reads these columns.
-- remedy: Delete the rows of loaded_days for the days shown and materialize them again; if the rows stay, report it.
SELECT s.session_key, s.first_event_at, s.event_count, d.event_count AS event_count_recounted
FROM session_summaries AS s
LEFT JOIN (
    SELECT
        session_key, SUM(event_count) AS event_count, SUM(login_success_count) AS login_success_count,
        SUM(login_failed_count) AS login_failed_count,
        CASE WHEN SUM(command_input_count) > 0 THEN SUM(command_input_count) ELSE SUM(command_outcome_count) END
            AS command_count,
        SUM(command_failed_count) AS command_failed_count, SUM(file_download_count) AS file_download_count,
        SUM(file_upload_count) AS file_upload_count, SUM(tunnel_count) AS tunnel_count,
        MIN(first_event_at) AS first_event_at, MAX(last_event_at) AS last_event_at
    FROM session_days
    WHERE session_key IN (
        SELECT session_key FROM session_summaries WHERE first_event_at >= :start AND first_event_at < :end
    )
    GROUP BY session_key
) AS d ON d.session_key = s.session_key
WHERE s.first_event_at >= :start AND s.first_event_at < :end
  AND (
    d.session_key IS NULL
    OR s.event_count <> d.event_count
    OR s.login_success_count <> d.login_success_count
    OR s.login_failed_count <> d.login_failed_count
    OR s.command_count <> d.command_count
    OR s.command_failed_count <> d.command_failed_count
    OR s.file_download_count <> d.file_download_count
    OR s.file_upload_count <> d.file_upload_count
    OR s.tunnel_count <> d.tunnel_count
    OR s.first_event_at <> d.first_event_at
    OR s.last_event_at <> d.last_event_at
  )
