-- title: How many rows of each day know a field
-- question: Which facts are missing, since when, and of how many?
-- parameters: first_day, last_day, start, end
-- columns: day day, asset text, field text, total integer, known integer
-- interactive: no
-- asset: ip_inventory, asn_inventory, session_snapshots
--
-- A value counts as known if it says something: not NULL, not '', not 'XX', not 'UNKNOWN'. Bogons have no place and no network, and do
-- not count. The addresses and networks of a day are those of its sessions.
WITH active AS (
    SELECT DISTINCT d.day, i.ip_address, i.current_asn, i.geo_country, i.geo_city, i.ip_type, i.is_scanner
    FROM session_days AS d
    JOIN ip_inventory AS i ON i.ip_address = d.source_ip
    WHERE d.day BETWEEN :first_day AND :last_day AND i.is_bogon IS NOT TRUE
),
networks AS (
    SELECT DISTINCT active.day, a.asn_number, a.organization_name, a.organization_country, a.rir_registry,
        a.asn_type
    FROM active
    JOIN asn_inventory AS a ON a.asn_number = active.current_asn
),
sessions AS (
    SELECT date(s.first_event_at) AS day, s.snapshot_asn, s.snapshot_country, s.snapshot_basis
    FROM session_summaries AS s
    JOIN ip_inventory AS i ON i.ip_address = s.source_ip
    WHERE s.first_event_at >= :start AND s.first_event_at < :end AND i.is_bogon IS NOT TRUE
)
SELECT day, 'ip_inventory' AS asset, 'current_asn' AS field, COUNT(*) AS total, COUNT(current_asn) AS known
FROM active GROUP BY day
UNION ALL
SELECT day, 'ip_inventory', 'geo_country', COUNT(*), COUNT(NULLIF(NULLIF(geo_country, ''), 'XX'))
FROM active GROUP BY day
UNION ALL
SELECT day, 'ip_inventory', 'geo_city', COUNT(*), COUNT(NULLIF(geo_city, ''))
FROM active GROUP BY day
UNION ALL
SELECT day, 'ip_inventory', 'ip_type', COUNT(*), COUNT(NULLIF(ip_type, ''))
FROM active GROUP BY day
UNION ALL
SELECT day, 'ip_inventory', 'is_scanner', COUNT(*), COUNT(is_scanner)
FROM active GROUP BY day
UNION ALL
SELECT day, 'asn_inventory', 'organization_country', COUNT(*), COUNT(NULLIF(organization_country, ''))
FROM networks GROUP BY day
UNION ALL
SELECT day, 'asn_inventory', 'rir_registry', COUNT(*), COUNT(NULLIF(rir_registry, ''))
FROM networks GROUP BY day
UNION ALL
SELECT day, 'asn_inventory', 'organization_name', COUNT(*), COUNT(NULLIF(organization_name, ''))
FROM networks GROUP BY day
UNION ALL
SELECT day, 'asn_inventory', 'asn_type', COUNT(*), COUNT(NULLIF(asn_type, 'UNKNOWN'))
FROM networks GROUP BY day
UNION ALL
SELECT day, 'session_snapshots', 'snapshot_basis', COUNT(*), COUNT(NULLIF(snapshot_basis, ''))
FROM sessions GROUP BY day
UNION ALL
SELECT day, 'session_snapshots', 'snapshot_asn', COUNT(*), COUNT(snapshot_asn)
FROM sessions GROUP BY day
UNION ALL
SELECT day, 'session_snapshots', 'snapshot_country', COUNT(*), COUNT(NULLIF(NULLIF(snapshot_country, ''), 'XX'))
FROM sessions GROUP BY day
ORDER BY 1, 2, 3
