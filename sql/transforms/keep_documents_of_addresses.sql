-- title: The documents of addresses that legacy snapshots point to, each once
-- reads: legacy_snapshots, ip_inventory
INSERT INTO enrichment_documents (digest, document)
SELECT i.enrichment_digest, i.enrichment
FROM ip_inventory AS i
WHERE i.enrichment_digest IS NOT NULL
  AND i.ip_address IN (SELECT of_address FROM legacy_snapshots WHERE of_address IS NOT NULL)
ORDER BY i.enrichment_digest
ON CONFLICT (digest) DO NOTHING
