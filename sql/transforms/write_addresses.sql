-- title: What the cascade found of addresses becomes their current state
-- reads: staged_addresses, staged_facts
--
-- Addresses of which the same is known share a row of staged_facts.
UPDATE ip_inventory
SET
    current_asn = found.current_asn,
    asn_source = found.asn_source,
    asn_last_verified = found.asn_last_verified,
    geo_country = found.geo_country,
    country_basis = found.country_basis,
    geo_city = found.geo_city,
    latitude = found.latitude,
    longitude = found.longitude,
    geoip_build = found.geoip_build,
    ip_type = found.ip_type,
    is_scanner = found.is_scanner,
    scanner_kind = found.scanner_kind,
    disagreements = found.disagreements,
    is_bogon = found.is_bogon,
    enrichment = found.enrichment,
    enrichment_digest = found.enrichment_digest,
    enrichment_state = found.enrichment_state,
    enrichment_sources = found.enrichment_sources,
    enrichment_updated_at = found.enrichment_updated_at,
    enrichment_due_at = found.enrichment_due_at,
    enrichment_version = ip_inventory.enrichment_version
        + CASE WHEN ip_inventory.enrichment_digest = found.enrichment_digest THEN 0 ELSE 1 END
FROM staged_addresses AS looked_up
JOIN staged_facts AS found ON found.facts_number = looked_up.facts_number
WHERE ip_inventory.ip_address = looked_up.ip_address
