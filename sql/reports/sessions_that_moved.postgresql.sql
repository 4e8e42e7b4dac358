-- title: Sessions whose address since changed network
-- question: Which sessions came from addresses that belong to another network now?
-- parameters: start, end, limit
-- columns: first_event_at time, session_id text, sensor text, source_ip text, asn_number integer,
--   organization_name text, asn_number_now integer, organization_name_now text, snapshot_basis text
-- interactive: join
-- asset: session_snapshots
--
-- `asn_number` is the network at attack time, by snapshot; `asn_number_now` that of today. Sessions and addresses of
-- which either is not known are left out. Looked at are addresses that have had more than one network since they are
-- known: each network that a snapshot or ip_inventory names has its span in ip_asn_history.
SELECT
    s.first_event_at, s.session_id, s.sensor, s.source_ip, s.snapshot_asn AS asn_number,
    then_of.organization_name, i.current_asn AS asn_number_now, now_of.organization_name AS organization_name_now,
    s.snapshot_basis
FROM session_summaries AS s
JOIN ip_inventory AS i ON i.ip_address = s.source_ip
JOIN asn_inventory AS then_of ON then_of.asn_number = s.snapshot_asn
JOIN asn_inventory AS now_of ON now_of.asn_number = i.current_asn
-- an array, of which the planner expects few: of a subquery it expects a third of all addresses, and goes through every
-- session, or every address
WHERE s.source_ip = ANY (ARRAY(SELECT ip_address FROM ip_asn_history GROUP BY ip_address HAVING COUNT(*) > 1))
  AND s.first_event_at >= :start AND s.first_event_at < :end
  AND s.snapshot_asn <> i.current_asn
ORDER BY s.first_event_at DESC, s.session_key
LIMIT :limit
