-- title: The enrichment documents that the snapshots about to be taken point to, each once
-- reads: session_summaries, ip_inventory
-- parameters: start, end, patience
INSERT INTO enrichment_documents (digest, document)
SELECT i.enrichment_digest, i.enrichment
FROM ip_inventory AS i
WHERE i.enrichment_digest IS NOT NULL
  AND i.enrichment_state IN ('complete', 'partial')
  AND EXISTS (
    SELECT 1
    FROM session_summaries AS s
    WHERE s.source_ip = i.ip_address
      AND s.first_event_at >= :start AND s.first_event_at < :end
      AND s.snapshot_at IS NULL
      AND (i.enrichment_state = 'complete' OR s.first_event_at < :patience)
  )
ORDER BY i.enrichment_digest
ON CONFLICT (digest) DO NOTHING
