-- title: Each touched network's counts over all days
-- reads: asn_session_counts, touched_networks
INSERT INTO asn_session_totals (
    asn_number, first_day, last_day, sessions, logins, successful_logins, commands, downloads, address_days
)
SELECT
    asn_number, MIN(day), MAX(day), SUM(sessions), SUM(logins), SUM(successful_logins), SUM(commands), SUM(downloads),
    SUM(unique_ips)
FROM asn_session_counts
WHERE asn_number IN (SELECT asn_number FROM touched_networks)
GROUP BY asn_number
ORDER BY asn_number
