-- title: The days of each touched session become its summary
-- reads: session_days, touched_sessions
INSERT INTO session_summaries (
    session_key, session_id, sensor, source, source_ip, protocol, first_event_at, last_event_at, duration_ms, is_closed,
    event_count, login_success_count, login_failed_count, command_count, command_failed_count,
    file_download_count, file_upload_count, tunnel_count, client_version, hassh, event_counts
)
SELECT
    session_key, MIN(session_id), MIN(sensor), MAX(source), MAX(source_ip), MAX(protocol),
    MIN(first_event_at), MAX(last_event_at),
    COALESCE(
        MAX(logged_duration_ms),
        (
            -- without the fraction, which strftime would round up into the next second
            (strftime('%s', substr(MAX(last_event_at), 1, 19)) - strftime('%s', substr(MIN(first_event_at), 1, 19)))
            * 1000000
            + CAST(substr(MAX(last_event_at), 21, 6) AS INTEGER) - CAST(substr(MIN(first_event_at), 21, 6) AS INTEGER)
        ) / 1000
    ),
    MAX(is_closed), SUM(event_count), SUM(login_success_count), SUM(login_failed_count),
    -- some versions log what became of a command and not the line that was entered
    CASE WHEN SUM(command_input_count) > 0 THEN SUM(command_input_count) ELSE SUM(command_outcome_count) END,
    SUM(command_failed_count), SUM(file_download_count), SUM(file_upload_count), SUM(tunnel_count),
    MAX(client_version), MAX(hassh),
    CASE
        WHEN COUNT(*) = 1 THEN MIN(event_counts)
        ELSE (
            SELECT json_group_object(event_id, events)
            FROM (
                SELECT each.key AS event_id, SUM(each.value) AS events
                FROM session_days AS part, json_each(part.event_counts) AS each
                WHERE part.session_key = session_days.session_key
                GROUP BY each.key
                ORDER BY each.key
            )
        )
    END
FROM session_days
WHERE session_key IN (SELECT session_key FROM touched_sessions)
GROUP BY session_key
ORDER BY session_key
ON CONFLICT (session_key) DO UPDATE SET
    source = excluded.source,
    source_ip = excluded.source_ip,
    protocol = excluded.protocol,
    first_event_at = excluded.first_event_at,
    last_event_at = excluded.last_event_at,
    duration_ms = excluded.duration_ms,
    is_closed = excluded.is_closed,
    event_count = excluded.event_count,
    login_success_count = excluded.login_success_count,
    login_failed_count = excluded.login_failed_count,
    command_count = excluded.command_count,
    command_failed_count = excluded.command_failed_count,
    file_download_count = excluded.file_download_count,
    file_upload_count = excluded.file_upload_count,
    tunnel_count = excluded.tunnel_count,
    client_version = excluded.client_version,
    hassh = excluded.hassh,
    event_counts = excluded.event_counts
