-- asset: asn_session_counts
-- severity: error
-- blocks: no
-- title: Each network's totals are recounts of its days
-- why: The ranking of networks is read from the totals.
-- remedy: Counts by day were changed without their totals. Materialize asn_session_counts for any day of the networks
--   shown again.
--
-- Put together and added up, not joined: see network_session_counts.
SELECT
    asn_number, SUM(sessions) AS sessions, SUM(sessions_recounted) AS sessions_recounted, MIN(first_day) AS first_day,
    MIN(first_day_recounted) AS first_day_recounted
FROM (
    SELECT
        asn_number, 1 AS is_stored, 0 AS is_recounted, first_day, last_day, CAST(NULL AS DATE) AS first_day_recounted,
        CAST(NULL AS DATE) AS last_day_recounted, sessions, 0 AS sessions_recounted, logins, successful_logins,
        commands, downloads, address_days
    FROM asn_session_totals
    UNION ALL
    SELECT
        asn_number, 0, 1, NULL, NULL, MIN(day), MAX(day), 0, SUM(sessions), -SUM(logins), -SUM(successful_logins),
        -SUM(commands), -SUM(downloads), -SUM(unique_ips)
    FROM asn_session_counts
    GROUP BY asn_number
) AS both_counts
GROUP BY asn_number
HAVING SUM(is_stored) <> SUM(is_recounted) OR SUM(sessions) <> SUM(sessions_recounted)
    OR MIN(first_day) <> MIN(first_day_recounted) OR MAX(last_day) <> MAX(last_day_recounted)
    OR SUM(logins) <> 0 OR SUM(successful_logins) <> 0 OR SUM(commands) <> 0 OR SUM(downloads) <> 0
    OR SUM(address_days) <> 0
