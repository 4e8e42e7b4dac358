-- title: The values of snapshots just taken, written down as one text
-- reads: session_summaries
-- parameters: start, end
UPDATE session_summaries
SET snapshot_seal =
    COALESCE(CAST(snapshot_asn AS TEXT), '-') || '|' || COALESCE(snapshot_country, '-') || '|'
    || COALESCE(snapshot_ip_type, '-') || '|' || snapshot_basis || '|' || snapshot_at || '|'
    || COALESCE(snapshot_document, '-')
WHERE first_event_at >= :start AND first_event_at < :end
  AND snapshot_at IS NOT NULL
  AND snapshot_seal IS NULL
