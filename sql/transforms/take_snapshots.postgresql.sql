-- title: Sessions without a snapshot get one from what is known of their address
-- reads: session_summaries, ip_inventory, ip_asn_history
-- parameters: start, end, now, patience (the time before which a session is too old to wait for more), within (how far
--   a look-up may lie from a session that it observed, in microseconds)
--
-- A snapshot is taken once every source has answered for the address; of a session older than `patience` also when
-- some have not, if anything is known. `observed` and `historical` are tried in this order, `late` is what is left.
-- The time of a look-up is that of the answer that gave the network: an address is gone through again long before its
-- answers expire. An answer that could not be renewed when it was due covers nothing after that. The seal is all values
-- as one text; it is written in the same statement, since a second one would write every row once more.
UPDATE session_summaries
SET
    snapshot_asn = taken.asn,
    snapshot_country = taken.country,
    snapshot_ip_type = taken.ip_type,
    snapshot_document = taken.document,
    snapshot_basis = taken.basis,
    snapshot_at = :now,
    snapshot_seal =
        COALESCE(CAST(taken.asn AS TEXT), '-') || '|' || COALESCE(taken.country, '-') || '|'
        || COALESCE(taken.ip_type, '-') || '|' || taken.basis || '|'
        || to_char(CAST(:now AS TIMESTAMPTZ) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
        || '|' || COALESCE(taken.document, '-')
FROM (
    SELECT
        picture.session_key, picture.basis,
        CASE
            WHEN picture.basis = 'historical' THEN COALESCE(picture.historical_asn, picture.current_asn)
            ELSE picture.current_asn
        END AS asn,
        -- what else is known belongs to the current network; of a former one only the number was kept
        CASE WHEN picture.is_current THEN picture.geo_country END AS country,
        CASE WHEN picture.is_current THEN picture.ip_type END AS ip_type,
        CASE WHEN picture.is_current THEN picture.enrichment_digest END AS document
    FROM (
        SELECT
            known.*,
            basis <> 'historical' OR historical_asn IS NULL OR historical_asn = current_asn AS is_current
        FROM (
            SELECT
                waiting.*,
                CASE
                    WHEN waiting.distance <= :within THEN 'observed'
                    WHEN waiting.historical_asn IS NOT NULL OR waiting.was_valid THEN 'historical'
                    ELSE 'late'
                END AS basis
            FROM (
                -- the latest of the spans that cover a session; a subquery would be run for each session by itself
                SELECT DISTINCT ON (s.session_key)
                    s.session_key, i.current_asn, i.geo_country, i.ip_type, i.enrichment_digest,
                    ABS(EXTRACT(EPOCH FROM i.looked_up_at - s.first_event_at)) * 1000000 AS distance,
                    i.enrichment_state = 'complete' AND i.looked_up_at <= s.first_event_at
                        AND s.first_event_at <= i.enrichment_due_at AS was_valid,
                    h.asn_number AS historical_asn
                FROM session_summaries AS s
                JOIN (
                    SELECT ip_inventory.*, COALESCE(asn_last_verified, enrichment_updated_at) AS looked_up_at
                    FROM ip_inventory
                ) AS i ON i.ip_address = s.source_ip
                LEFT JOIN ip_asn_history AS h ON h.ip_address = s.source_ip
                    AND h.observed_from <= s.first_event_at AND s.first_event_at <= h.last_confirmed
                WHERE s.first_event_at >= :start AND s.first_event_at < :end
                  AND s.snapshot_at IS NULL
                  AND (
                    i.enrichment_state = 'complete'
                    OR (i.enrichment_state = 'partial' AND s.first_event_at < :patience)
                  )
                ORDER BY s.session_key, h.observed_from DESC
            ) AS waiting
        ) AS known
    ) AS picture
) AS taken
WHERE session_summaries.session_key = taken.session_key
  -- else the planner looks for the sessions of a few days among all there are, each time anew
  AND session_summaries.first_event_at >= :start AND session_summaries.first_event_at < :end
