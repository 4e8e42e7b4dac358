-- asset: asn_session_counts
-- severity: error
-- blocks: no
-- title: Each network's totals are recounts of its days
-- remedy: Counts by day were changed without their totals. Materialize asn_session_counts for any day of the networks
--   shown again.
SELECT
    COALESCE(t.asn_number, r.asn_number) AS asn_number, t.sessions, r.sessions AS sessions_recounted, t.first_day,
    r.first_day AS first_day_recounted
FROM asn_session_totals AS t
FULL JOIN (
    SELECT
        asn_number, MIN(day) AS first_day, MAX(day) AS last_day, SUM(sessions) AS sessions, SUM(logins) AS logins,
        SUM(successful_logins) AS successful_logins, SUM(commands) AS commands, SUM(downloads) AS downloads,
        SUM(unique_ips) AS address_days
    FROM asn_session_counts
    GROUP BY asn_number
) AS r ON r.asn_number = t.asn_number
WHERE t.asn_number IS NULL OR r.asn_number IS NULL
   OR t.first_day <> r.first_day OR t.last_day <> r.last_day OR t.sessions <> r.sessions OR t.logins <> r.logins
   OR t.successful_logins <> r.successful_logins OR t.commands <> r.commands OR t.downloads <> r.downloads
   OR t.address_days <> r.address_days
