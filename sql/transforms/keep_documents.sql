-- title: The enrichment documents that the snapshots about to be taken point to, each once
-- reads: session_summaries, ip_inventory
-- parameters: start, end, patience
--
-- From the sessions to their addresses, not the other way round: days have few of all addresses.
INSERT INTO enrichment_documents (digest, document)
SELECT i.enrichment_digest, i.enrichment
FROM (
    SELECT source_ip, MIN(first_event_at) AS earliest
    FROM session_summaries
    WHERE first_event_at >= :start AND first_event_at < :end
      AND snapshot_at IS NULL AND source_ip IS NOT NULL
    GROUP BY source_ip
) AS waiting
JOIN ip_inventory AS i ON i.ip_address = waiting.source_ip
WHERE i.enrichment_digest IS NOT NULL
  AND (i.enrichment_state = 'complete' OR (i.enrichment_state = 'partial' AND waiting.earliest < :patience))
ORDER BY i.enrichment_digest
ON CONFLICT (digest) DO NOTHING
