-- title: Sessions of the logs that have no snapshot get that of the imported session that they replace
-- reads: session_summaries, giving_way
--
-- Of several the earliest gives it.
UPDATE session_summaries
SET
    snapshot_asn = old.snapshot_asn,
    snapshot_country = old.snapshot_country,
    snapshot_ip_type = old.snapshot_ip_type,
    snapshot_basis = old.snapshot_basis,
    snapshot_at = old.snapshot_at,
    snapshot_document = old.snapshot_document,
    snapshot_seal = old.snapshot_seal
FROM (
    SELECT
        giving_way.successor, s.snapshot_asn, s.snapshot_country, s.snapshot_ip_type, s.snapshot_basis, s.snapshot_at,
        s.snapshot_document, s.snapshot_seal,
        ROW_NUMBER() OVER (PARTITION BY giving_way.successor ORDER BY s.first_event_at, s.session_key) AS place
    FROM giving_way
    JOIN session_summaries AS s ON s.session_key = giving_way.session_key
    WHERE s.snapshot_at IS NOT NULL
) AS old
WHERE session_summaries.session_key = old.successor
  AND old.place = 1
  AND session_summaries.snapshot_at IS NULL
