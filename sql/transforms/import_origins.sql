-- title: The time at which an earlier database knew an address's network is a span of its history, before all others
-- reads: staged_imported_addresses, ip_asn_history
INSERT INTO ip_asn_history (ip_address, observed_from, asn_number, last_confirmed, source)
SELECT found.ip_address, found.asn_last_verified, found.current_asn, found.asn_last_verified, found.asn_source
FROM staged_imported_addresses AS found
WHERE found.current_asn IS NOT NULL
  AND found.asn_last_verified IS NOT NULL
  AND NOT EXISTS (
    SELECT 1
    FROM ip_asn_history AS h
    WHERE h.ip_address = found.ip_address AND h.last_confirmed >= found.asn_last_verified
  )
ORDER BY found.ip_address
ON CONFLICT (ip_address, observed_from) DO NOTHING
