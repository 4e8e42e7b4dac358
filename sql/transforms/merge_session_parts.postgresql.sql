-- title: Parts of one session's day, folded at different times, become one row
-- reads: staged_parts
--
-- Texts are compared by code point, as in SQLite and in cowrie/fold.py, whatever the database's collation is.
INSERT INTO staged_session_days (
    session_day_key, session_key, day, sensor, session_id, source, source_ip, protocol,
    first_event_at, last_event_at, first_connect_at, may_continue, is_closed, logged_duration_ms,
    event_count, login_success_count, login_failed_count, command_input_count, command_outcome_count, command_failed_count,
    file_download_count, file_upload_count, tunnel_count, client_version, hassh, event_counts
)
SELECT
    session_day_key, session_day_key, MIN(day), MIN(sensor), MIN(session_id), MIN(source), MIN(source_ip),
    MAX(protocol COLLATE "C"), MIN(first_event_at), MAX(last_event_at), MIN(first_connect_at),
    MIN(first_connect_at) IS NULL OR MIN(first_connect_at) > MIN(first_event_at) OR MIN(source) = '',
    bool_or(is_closed),
    MAX(logged_duration_ms), SUM(event_count), SUM(login_success_count), SUM(login_failed_count),
    SUM(command_input_count), SUM(command_outcome_count), SUM(command_failed_count), SUM(file_download_count), SUM(file_upload_count), SUM(tunnel_count),
    MAX(client_version COLLATE "C"), MAX(hassh COLLATE "C"),
    CASE
        WHEN COUNT(*) = 1 THEN MIN(event_counts)::jsonb
        ELSE (
            SELECT jsonb_object_agg(event_id, events)
            FROM (
                SELECT each.key AS event_id, SUM(each.value::bigint) AS events
                FROM staged_parts AS part, jsonb_each_text(part.event_counts::jsonb) AS each
                WHERE part.session_day_key = staged_parts.session_day_key
                GROUP BY each.key
            ) AS counted
        )
    END
FROM staged_parts
GROUP BY session_day_key
ORDER BY session_day_key
