-- asset: session_snapshots
-- severity: error
-- blocks: yes
-- title: Every snapshot's document is kept
-- why: The document is the evidence for the snapshot: without it nobody can tell what was known at the time.
-- remedy: Rows of enrichment_documents were removed by hand, with foreign keys off. Restore them from a backup.
SELECT s.session_key, s.first_event_at, s.snapshot_document
FROM session_summaries AS s
WHERE s.first_event_at >= :start AND s.first_event_at < :end
  AND s.snapshot_document IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM enrichment_documents AS d WHERE d.digest = s.snapshot_document)
