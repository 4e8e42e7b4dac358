-- title: The enrichment documents that the snapshots about to be taken point to, each once
-- reads: session_summaries, ip_inventory
-- parameters: start, end
INSERT INTO enrichment_documents (digest, document)
SELECT i.enrichment_digest, i.enrichment
FROM ip_inventory AS i
WHERE i.enrichment_digest IS NOT NULL
  AND EXISTS (
    SELECT 1
    FROM session_summaries AS s
    WHERE s.source_ip = i.ip_address
      AND s.first_event_at >= :start AND s.first_event_at < :end
      AND s.snapshot_at IS NULL
  )
ORDER BY i.enrichment_digest
ON CONFLICT (digest) DO NOTHING
