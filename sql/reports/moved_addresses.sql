-- title: Addresses that changed network
-- question: Which addresses moved from one network to another, and when was it seen?
-- parameters: start, end, limit
-- columns: ip_address text, old_asn integer, old_organization text, old_last_confirmed time, new_asn integer,
--   new_organization text, observed_from time
-- span: week
-- interactive: no
--
-- An address moved at the time at which another network was seen first after its last: its former span ends, at the
-- latest, then. Only what was looked up is known: an address that is never looked up again never moves.
SELECT
    new.ip_address, old.asn_number AS old_asn, old_of.organization_name AS old_organization,
    old.last_confirmed AS old_last_confirmed, new.asn_number AS new_asn, new_of.organization_name AS new_organization,
    new.observed_from
FROM ip_asn_history AS new
JOIN ip_asn_history AS old ON old.ip_address = new.ip_address
JOIN asn_inventory AS old_of ON old_of.asn_number = old.asn_number
JOIN asn_inventory AS new_of ON new_of.asn_number = new.asn_number
WHERE new.observed_from >= :start AND new.observed_from < :end
  AND old.asn_number <> new.asn_number
  AND old.observed_from = (
    SELECT MAX(before.observed_from)
    FROM ip_asn_history AS before
    WHERE before.ip_address = new.ip_address AND before.observed_from < new.observed_from
  )
ORDER BY new.observed_from DESC, new.ip_address
LIMIT :limit
