-- title: Each staged session's day becomes a session, as if it were its only day
-- reads: staged_session_days
--
-- Sessions that have more days are rolled up afterwards (roll_up_sessions); nearly all have one, and for them this does
-- without grouping.
INSERT INTO session_summaries (
    session_key, session_id, sensor, source, source_ip, protocol, first_event_at, last_event_at, duration_ms, is_closed,
    event_count, login_success_count, login_failed_count, command_count, command_failed_count,
    file_download_count, file_upload_count, tunnel_count, client_version, hassh, event_counts
)
SELECT
    session_key, session_id, sensor, source, source_ip, protocol, first_event_at, last_event_at,
    COALESCE(
        logged_duration_ms,
        (
            -- without the fraction, which strftime would round up into the next second
            (strftime('%s', substr(last_event_at, 1, 19)) - strftime('%s', substr(first_event_at, 1, 19))) * 1000000
            + CAST(substr(last_event_at, 21, 6) AS INTEGER) - CAST(substr(first_event_at, 21, 6) AS INTEGER)
        ) / 1000
    ),
    is_closed, event_count, login_success_count, login_failed_count,
    -- some versions log what became of a command and not the line that was entered
    CASE WHEN command_input_count > 0 THEN command_input_count ELSE command_outcome_count END,
    command_failed_count, file_download_count, file_upload_count, tunnel_count, client_version, hassh, event_counts
FROM staged_session_days
WHERE true
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
