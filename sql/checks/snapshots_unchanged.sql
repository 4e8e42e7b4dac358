-- asset: session_snapshots
-- severity: error
-- blocks: no
-- title: No snapshot has changed since it was taken
-- why: A snapshot says who an address was when it attacked. One that changes later says who it is today, and
--   reports of the past change.
-- remedy: Something beside the pipeline changed session_summaries. snapshot_seal holds the values as they were, in the
--   order asn|country|ip_type|basis|time|document.
SELECT session_key, first_event_at, snapshot_seal, snapshot_asn, snapshot_country, snapshot_ip_type, snapshot_basis
FROM session_summaries
WHERE first_event_at >= :start AND first_event_at < :end
  AND COALESCE(snapshot_seal, '') <> COALESCE(
    COALESCE(CAST(snapshot_asn AS TEXT), '-') || '|' || COALESCE(snapshot_country, '-') || '|'
    || COALESCE(snapshot_ip_type, '-') || '|' || snapshot_basis || '|' || snapshot_at || '|'
    || COALESCE(snapshot_document, '-'),
    ''
  )
