-- asset: raw_sessions
-- severity: error
-- blocks: yes
-- title: A day's counts of log-ins, commands, files and tunnels are the numbers of their rows, until it is retired
-- why: A session that says ten log-ins and has nine was made from part of its lines, or lost a row since.
-- remedy: Delete the rows of loaded_days for the days shown and materialize them again; if the rows stay, report it.
SELECT counted.day, counted.kind, counted.counted, COALESCE(kept.rows_kept, 0) AS rows_kept
FROM (
    SELECT day, 'log-ins' AS kind, SUM(login_success_count + login_failed_count) AS counted
    FROM session_days WHERE imported_from IS NULL AND day BETWEEN :first_day AND :last_day GROUP BY day
    UNION ALL
    SELECT day, 'failed commands', SUM(command_failed_count)
    FROM session_days WHERE imported_from IS NULL AND day BETWEEN :first_day AND :last_day GROUP BY day
    UNION ALL
    SELECT day, 'downloads', SUM(file_download_count)
    FROM session_days WHERE imported_from IS NULL AND day BETWEEN :first_day AND :last_day GROUP BY day
    UNION ALL
    SELECT day, 'uploads', SUM(file_upload_count)
    FROM session_days WHERE imported_from IS NULL AND day BETWEEN :first_day AND :last_day GROUP BY day
    UNION ALL
    SELECT day, 'tunnels', SUM(tunnel_count)
    FROM session_days WHERE imported_from IS NULL AND day BETWEEN :first_day AND :last_day GROUP BY day
) AS counted
LEFT JOIN (
    SELECT date(event_at) AS day, 'log-ins' AS kind, COUNT(*) AS rows_kept
    FROM login_attempts WHERE event_at >= :start AND event_at < :end GROUP BY date(event_at)
    UNION ALL
    SELECT date(event_at), 'failed commands', COUNT(*)
    FROM commands WHERE kind = 'failed' AND event_at >= :start AND event_at < :end GROUP BY date(event_at)
    UNION ALL
    SELECT date(event_at), 'downloads', COUNT(*)
    FROM session_files WHERE kind = 'download' AND event_at >= :start AND event_at < :end GROUP BY date(event_at)
    UNION ALL
    SELECT date(event_at), 'uploads', COUNT(*)
    FROM session_files WHERE kind = 'upload' AND event_at >= :start AND event_at < :end GROUP BY date(event_at)
    UNION ALL
    SELECT date(event_at), 'tunnels', COUNT(*)
    FROM tunnels WHERE kind = 'request' AND event_at >= :start AND event_at < :end GROUP BY date(event_at)
) AS kept ON kept.day = counted.day AND kept.kind = counted.kind
WHERE counted.counted <> COALESCE(kept.rows_kept, 0)
  AND NOT EXISTS (SELECT 1 FROM retired_days AS r WHERE r.day = counted.day)
