-- title: The snapshots that imported rows give to sessions that have none
-- reads: imported_sessions, session_summaries, ip_inventory
-- parameters: source, start, end
--
-- A row that says nothing of its address leaves it to what is known of the address, which is `late`. A session of the
-- logs to which imported ones gave way gets that of the earliest.
INSERT INTO legacy_snapshots (
    session_key, snapshot_asn, snapshot_country, snapshot_ip_type, snapshot_basis, snapshot_document, of_address
)
SELECT
    session_key, snapshot_asn, snapshot_country, snapshot_ip_type, snapshot_basis, snapshot_document, of_address
FROM (
    SELECT
        s.session_key,
        CASE WHEN m.snapshot_basis IS NULL THEN i.current_asn ELSE m.snapshot_asn END AS snapshot_asn,
        CASE WHEN m.snapshot_basis IS NULL THEN i.geo_country ELSE m.snapshot_country END AS snapshot_country,
        CASE WHEN m.snapshot_basis IS NULL THEN i.ip_type ELSE m.snapshot_ip_type END AS snapshot_ip_type,
        COALESCE(m.snapshot_basis, 'late') AS snapshot_basis,
        CASE WHEN m.snapshot_basis IS NULL THEN i.enrichment_digest ELSE m.snapshot_document END AS snapshot_document,
        CASE WHEN m.snapshot_basis IS NULL THEN i.ip_address END AS of_address,
        ROW_NUMBER() OVER (PARTITION BY s.session_key ORDER BY m.first_event_at, m.import_key) AS place
    FROM imported_sessions AS m
    JOIN session_summaries AS s ON s.session_key = COALESCE(m.session_key, m.gave_way_to)
    LEFT JOIN ip_inventory AS i ON i.ip_address = s.source_ip
    WHERE m.source = :source
      AND m.first_event_at >= :start AND m.first_event_at < :end
      AND s.snapshot_at IS NULL
      AND (m.snapshot_basis IS NOT NULL OR i.enrichment_state IN ('complete', 'partial'))
) AS found
WHERE place = 1
ORDER BY session_key
