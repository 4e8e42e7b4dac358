-- title: Sessions get the snapshots found for them
-- reads: legacy_snapshots
-- parameters: now
UPDATE session_summaries
SET
    snapshot_asn = found.snapshot_asn,
    snapshot_country = found.snapshot_country,
    snapshot_ip_type = found.snapshot_ip_type,
    snapshot_basis = found.snapshot_basis,
    snapshot_document = found.snapshot_document,
    snapshot_at = :now
FROM legacy_snapshots AS found
WHERE session_summaries.session_key = found.session_key
  AND session_summaries.snapshot_at IS NULL
