-- title: Addresses of an earlier database get a row, and what it said of them where they were never looked up
-- reads: staged_imported_addresses
--
-- What it said is old, so it is due: a look-up replaces it, and until then it is better than nothing.
INSERT INTO ip_inventory (
    ip_address, current_asn, asn_source, asn_last_verified, geo_country, country_basis, geo_city, latitude, longitude,
    ip_type, is_scanner, scanner_kind, disagreements, is_bogon, enrichment, enrichment_digest, enrichment_state,
    enrichment_sources, enrichment_updated_at, enrichment_due_at, created_at
)
SELECT
    ip_address, current_asn, asn_source, asn_last_verified, geo_country, country_basis, geo_city, latitude, longitude,
    ip_type, is_scanner, scanner_kind, disagreements, is_bogon, enrichment, enrichment_digest, enrichment_state,
    enrichment_sources, enrichment_updated_at, enrichment_due_at, created_at
FROM staged_imported_addresses
WHERE true
ORDER BY ip_address
ON CONFLICT (ip_address) DO UPDATE SET
    current_asn = excluded.current_asn,
    asn_source = excluded.asn_source,
    asn_last_verified = excluded.asn_last_verified,
    geo_country = excluded.geo_country,
    country_basis = excluded.country_basis,
    geo_city = excluded.geo_city,
    latitude = excluded.latitude,
    longitude = excluded.longitude,
    ip_type = excluded.ip_type,
    is_scanner = excluded.is_scanner,
    scanner_kind = excluded.scanner_kind,
    disagreements = excluded.disagreements,
    is_bogon = excluded.is_bogon,
    enrichment = excluded.enrichment,
    enrichment_digest = excluded.enrichment_digest,
    enrichment_state = excluded.enrichment_state,
    enrichment_sources = excluded.enrichment_sources,
    enrichment_updated_at = excluded.enrichment_updated_at,
    enrichment_due_at = excluded.enrichment_due_at
WHERE ip_inventory.enrichment_state IS NULL
  AND excluded.enrichment_state IS NOT NULL
