-- title: An address that is new, or has changed its network, begins a span
-- reads: staged_addresses, staged_facts
INSERT INTO ip_asn_history (ip_address, observed_from, asn_number, last_confirmed, source)
SELECT looked_up.ip_address, found.asn_last_verified, found.current_asn, found.asn_last_verified, found.asn_source
FROM staged_addresses AS looked_up
JOIN staged_facts AS found ON found.facts_number = looked_up.facts_number
WHERE found.current_asn IS NOT NULL
  AND NOT EXISTS (
    SELECT 1
    FROM ip_asn_history AS latest
    WHERE latest.ip_address = looked_up.ip_address
      AND latest.asn_number = found.current_asn
      AND NOT EXISTS (
        SELECT 1
        FROM ip_asn_history AS later
        WHERE later.ip_address = latest.ip_address AND later.observed_from > latest.observed_from
      )
  )
ORDER BY looked_up.ip_address
ON CONFLICT (ip_address, observed_from) DO NOTHING
