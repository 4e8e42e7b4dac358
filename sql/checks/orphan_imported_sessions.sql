-- asset: raw_sessions
-- severity: error
-- blocks: no
-- title: Every imported session is a session or gave way to one, and what it said is kept
-- why: What an earlier installation knew of the session could not be found again.
-- remedy: Something beside the pipeline removed sessions or documents. Run `cowrie-enrich import-legacy` again with the
--   database it came from, after deleting the rows shown from imported_sessions.
SELECT m.source, m.import_key, m.legacy_id, m.session_key
FROM imported_sessions AS m
WHERE (m.session_key IS NULL AND m.gave_way_to IS NULL)
   OR (
    m.session_key IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM session_days AS d WHERE d.session_key = m.session_key AND d.imported_from IS NOT NULL)
  )
   OR (
    m.legacy_document IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM enrichment_documents AS e WHERE e.digest = m.legacy_document)
  )
   OR (
    m.snapshot_document IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM enrichment_documents AS e WHERE e.digest = m.snapshot_document)
  )
