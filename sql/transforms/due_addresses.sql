-- title: The addresses active in a span of time that are new, stale, or were looked up by other sources
-- reads: ip_inventory, session_summaries, asn_inventory; :since, :until, :now, :sources
--
-- Those come first that are worth most of a budget that does not reach for all: who moved files (4), then who logged in
-- and entered commands (3), then who did one of the two (2), then who tried to log in (1), then the rest; among equals
-- those of networks not met before this span, then the busiest. Few are due on most days, so what is due is found before who was active:
-- CROSS JOIN keeps SQLite to that order.
WITH due AS MATERIALIZED (
    SELECT ip_address, current_asn
    FROM ip_inventory
    WHERE enrichment_due_at IS NULL OR enrichment_due_at <= :now OR COALESCE(enrichment_sources, '') <> :sources
)
SELECT
    due.ip_address,
    MAX(
        CASE
            WHEN s.file_download_count + s.file_upload_count > 0 THEN 4
            WHEN s.login_success_count > 0 AND s.command_count > 0 THEN 3
            WHEN s.login_success_count > 0 OR s.command_count > 0 THEN 2
            WHEN s.login_failed_count > 0 THEN 1
            ELSE 0
        END
    ) AS worth
FROM due
CROSS JOIN session_summaries AS s
LEFT JOIN asn_inventory AS n ON n.asn_number = due.current_asn
WHERE s.source_ip = due.ip_address AND s.first_event_at < :until AND s.last_event_at >= :since
GROUP BY due.ip_address
ORDER BY
    worth DESC,
    MAX(CASE WHEN n.first_seen IS NULL OR n.first_seen >= :since THEN 1 ELSE 0 END) DESC,
    COUNT(*) DESC,
    due.ip_address
