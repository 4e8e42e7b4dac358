-- title: The time at which an earlier database knew an address's network is a span of its history, before all others
-- reads: staged_imported_addresses, ip_inventory, ip_asn_history
--
-- Only of addresses of which nothing better is known: they have taken over what the earlier database said.
INSERT INTO ip_asn_history (ip_address, observed_from, asn_number, last_confirmed, source)
SELECT found.ip_address, found.asn_last_verified, found.current_asn, found.asn_last_verified, found.asn_source
FROM staged_imported_addresses AS found
JOIN ip_inventory AS i ON i.ip_address = found.ip_address
WHERE i.enrichment_sources = 'imported'
  AND i.current_asn = found.current_asn
  AND i.asn_last_verified = found.asn_last_verified
  AND NOT EXISTS (SELECT 1 FROM ip_asn_history AS h WHERE h.ip_address = found.ip_address)
ORDER BY found.ip_address
ON CONFLICT (ip_address, observed_from) DO NOTHING
