-- title: The addresses of each network that attacked on the counted days, at attack time
-- reads: session_summaries, counted_days
-- parameters: start, end
INSERT INTO asn_addresses (month, asn_number, ip_address, days)
SELECT
    CAST(substr(day, 1, 4) || substr(day, 6, 2) AS INTEGER), asn_number, ip_address,
    CAST(SUM(CAST(1 AS BIGINT) << CAST(substr(day, 9, 2) AS INTEGER)) AS BIGINT)
FROM (
    SELECT DISTINCT CAST(date(first_event_at) AS TEXT) AS day, snapshot_asn AS asn_number, source_ip AS ip_address
    FROM session_summaries
    WHERE date(first_event_at) IN (SELECT day FROM counted_days)
      AND first_event_at >= :start AND first_event_at < :end
      AND snapshot_asn IS NOT NULL AND source_ip IS NOT NULL
) AS came
WHERE TRUE
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
ON CONFLICT (month, asn_number, ip_address) DO UPDATE SET days = asn_addresses.days | excluded.days
