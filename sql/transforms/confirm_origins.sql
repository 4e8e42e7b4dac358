-- title: An address seen in the network it was last seen in is confirmed there
-- reads: staged_addresses, staged_facts
UPDATE ip_asn_history
SET last_confirmed = found.asn_last_verified, source = found.asn_source
FROM staged_addresses AS looked_up
JOIN staged_facts AS found ON found.facts_number = looked_up.facts_number
WHERE ip_asn_history.ip_address = looked_up.ip_address
  AND ip_asn_history.asn_number = found.current_asn
  AND ip_asn_history.last_confirmed < found.asn_last_verified
  AND NOT EXISTS (
    SELECT 1
    FROM ip_asn_history AS later
    WHERE later.ip_address = ip_asn_history.ip_address
      AND later.observed_from > ip_asn_history.observed_from
  )
