-- title: What became of networks, addresses and files of an earlier database, and what else their rows said
-- reads: staged_records
INSERT INTO imported_records (source, part, legacy_key, target_key, legacy_document, facts)
SELECT source, part, legacy_key, target_key, legacy_document, facts
FROM staged_records
WHERE true
ORDER BY legacy_key
ON CONFLICT (source, part, legacy_key) DO NOTHING
