-- title: Where each imported session came from, and what else its row said
-- reads: staged_imports
INSERT INTO imported_sessions (
    source, import_key, legacy_id, session_key, gave_way_to, first_event_at, snapshot_asn, snapshot_country,
    snapshot_ip_type, snapshot_basis, snapshot_document, legacy_document, facts
)
SELECT
    source, import_key, legacy_id, CASE WHEN gave_way_to IS NULL THEN import_key END, gave_way_to, first_event_at,
    snapshot_asn, snapshot_country, snapshot_ip_type, snapshot_basis, snapshot_document, legacy_document, facts
FROM staged_imports
ORDER BY import_key
