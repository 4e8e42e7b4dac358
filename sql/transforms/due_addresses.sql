-- title: The addresses active in a span of time that are new, stale, or were looked up by other sources
-- reads: ip_inventory, session_summaries, session_days, asn_inventory; :first_day, :last_day, :since, :until, :now, :sources
--
-- Those come first that are worth most of a budget that does not reach for all: who moved files (4), then who logged in
-- and entered commands (3), then who did one of the two (2), then who tried to log in (1), then the rest; among equals
-- those of networks not met before this span, then the busiest.
--
-- Who was active is found before what is due: an answer holds for days or weeks, so of an inventory that has grown
-- for months most is due, and the sessions of all of it are most of those there are. A session that began before the
-- span has a day in it that may continue another.
WITH active AS MATERIALIZED (
    SELECT
        source_ip,
        MAX(
            CASE
                WHEN file_download_count + file_upload_count > 0 THEN 4
                WHEN login_success_count > 0 AND command_count > 0 THEN 3
                WHEN login_success_count > 0 OR command_count > 0 THEN 2
                WHEN login_failed_count > 0 THEN 1
                ELSE 0
            END
        ) AS worth,
        COUNT(*) AS sessions
    FROM (
        SELECT
            source_ip, file_download_count, file_upload_count, login_success_count, login_failed_count, command_count
        FROM session_summaries
        WHERE first_event_at >= :since AND first_event_at < :until
        UNION ALL
        SELECT
            source_ip, file_download_count, file_upload_count, login_success_count, login_failed_count, command_count
        FROM session_summaries
        WHERE first_event_at < :since
          AND session_key IN (
            SELECT session_key FROM session_days WHERE may_continue AND day BETWEEN :first_day AND :last_day
          )
    ) AS sessions_of_days
    WHERE source_ip IS NOT NULL
    GROUP BY source_ip
)
SELECT i.ip_address, active.worth
FROM active
JOIN ip_inventory AS i ON i.ip_address = active.source_ip
LEFT JOIN asn_inventory AS n ON n.asn_number = i.current_asn
WHERE i.enrichment_due_at IS NULL OR i.enrichment_due_at <= :now OR COALESCE(i.enrichment_sources, '') <> :sources
ORDER BY
    active.worth DESC,
    CASE WHEN n.first_seen IS NULL OR n.first_seen >= :since THEN 1 ELSE 0 END DESC,
    active.sessions DESC,
    i.ip_address
