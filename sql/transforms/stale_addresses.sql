-- title: Addresses whose facts have expired, so many that one refresh is bounded, and what they are worth
-- reads: ip_inventory, session_summaries; :now, :at_most, :oldest
--
-- The rule is in steps/stale_enrichment.py: the `oldest` most overdue come first, in that order; after them those that
-- were seen last, in the order of worth (as in due_addresses.sql).
WITH ranked AS (
    SELECT
        ip_address,
        ROW_NUMBER() OVER (ORDER BY COALESCE(enrichment_due_at, created_at), ip_address) AS overdue,
        ROW_NUMBER() OVER (ORDER BY COALESCE(last_seen, created_at) DESC, ip_address) AS lately
    FROM ip_inventory
    WHERE enrichment_due_at IS NULL OR enrichment_due_at <= :now
),
chosen AS MATERIALIZED (
    SELECT ip_address, CASE WHEN overdue <= :oldest THEN overdue ELSE :oldest + 1 END AS place
    FROM ranked
    ORDER BY place, lately
    LIMIT :at_most
)
SELECT
    chosen.ip_address,
    MAX(
        CASE
            WHEN s.file_download_count + s.file_upload_count > 0 THEN 4
            WHEN s.login_success_count > 0 AND s.command_count > 0 THEN 3
            WHEN s.login_success_count > 0 OR s.command_count > 0 THEN 2
            WHEN s.login_failed_count > 0 THEN 1
            ELSE 0
        END
    ) AS worth
FROM chosen
LEFT JOIN session_summaries AS s ON s.source_ip = chosen.ip_address
GROUP BY chosen.ip_address, chosen.place
ORDER BY chosen.place, worth DESC, chosen.ip_address
