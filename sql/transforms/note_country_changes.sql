-- title: An address whose country becomes another, or is known no more, is kept in the list of changes
-- reads: staged_addresses, staged_facts
--
-- Before write_addresses, which forgets the old one. The first country of an address is no change. The basis tells a
-- place that changed from a witness that did.
INSERT INTO ip_country_changes (ip_address, changed_at, old_country, old_basis, new_country, new_basis)
SELECT
    i.ip_address, found.enrichment_updated_at, i.geo_country, i.country_basis, found.geo_country, found.country_basis
FROM staged_addresses AS looked_up
JOIN staged_facts AS found ON found.facts_number = looked_up.facts_number
JOIN ip_inventory AS i ON i.ip_address = looked_up.ip_address
WHERE i.geo_country IS NOT NULL AND i.geo_country IS DISTINCT FROM found.geo_country
ORDER BY i.ip_address
ON CONFLICT (ip_address, changed_at) DO NOTHING
