-- title: How many snapshots differ from what is known now
-- question: Of the sessions of these days, how many were of another network, country or kind of address than today?
-- parameters: start, end
-- columns: fact text, snapshots integer, differing integer, share number
-- span: week
-- interactive: no
--
-- Counted are snapshots in which the fact was known; one differs if the address has another value now, or none. `share`
-- is from 0 to 1, NULL where there is no snapshot.
SELECT
    fact, COUNT(known) AS snapshots, COUNT(CASE WHEN known IS DISTINCT FROM current THEN known END) AS differing,
    COUNT(CASE WHEN known IS DISTINCT FROM current THEN known END) * 1.0 / NULLIF(COUNT(known), 0) AS share
FROM (
    SELECT
        facts.fact,
        CASE facts.fact
            WHEN 'network' THEN CAST(s.snapshot_asn AS TEXT)
            WHEN 'country' THEN s.snapshot_country
            ELSE s.snapshot_ip_type
        END AS known,
        CASE facts.fact
            WHEN 'network' THEN CAST(i.current_asn AS TEXT)
            WHEN 'country' THEN i.geo_country
            ELSE i.ip_type
        END AS current
    FROM session_summaries AS s
    JOIN ip_inventory AS i ON i.ip_address = s.source_ip
    CROSS JOIN (SELECT 'network' AS fact UNION ALL SELECT 'country' UNION ALL SELECT 'ip_type') AS facts
    WHERE s.first_event_at >= :start AND s.first_event_at < :end AND s.snapshot_at IS NOT NULL
) AS compared
GROUP BY fact
ORDER BY fact
