-- title: What the staged addresses are worth: 0 to 4, as in due_addresses.sql
-- reads: worth_asked, session_summaries
SELECT
    asked.ip_address,
    MAX(
        CASE
            WHEN s.file_download_count + s.file_upload_count > 0 THEN 4
            WHEN s.login_success_count > 0 AND s.command_count > 0 THEN 3
            WHEN s.login_success_count > 0 OR s.command_count > 0 THEN 2
            WHEN s.login_failed_count > 0 THEN 1
            ELSE 0
        END
    ) AS worth
FROM worth_asked AS asked
LEFT JOIN session_summaries AS s ON s.source_ip = asked.ip_address
GROUP BY asked.ip_address
