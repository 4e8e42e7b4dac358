-- title: Networks met by the cascade get a row, and facts where they have none
-- reads: staged_networks
INSERT INTO asn_inventory (
    asn_number, organization_name, organization_source, organization_country, rir_registry, enrichment,
    created_at, updated_at
)
SELECT
    asn_number, organization_name, organization_source, organization_country, rir_registry, enrichment, met_at, met_at
FROM staged_networks
WHERE true
ORDER BY asn_number
ON CONFLICT (asn_number) DO UPDATE SET
    organization_name = COALESCE(asn_inventory.organization_name, excluded.organization_name),
    organization_source = CASE
        WHEN asn_inventory.organization_name IS NULL THEN excluded.organization_source
        ELSE asn_inventory.organization_source
    END,
    organization_country = COALESCE(asn_inventory.organization_country, excluded.organization_country),
    rir_registry = COALESCE(asn_inventory.rir_registry, excluded.rir_registry),
    -- entries by source: those that are new stand in the place of old ones
    enrichment = COALESCE(asn_inventory.enrichment || excluded.enrichment, excluded.enrichment, asn_inventory.enrichment),
    updated_at = excluded.updated_at
WHERE (asn_inventory.organization_name IS NULL AND excluded.organization_name IS NOT NULL)
   OR (asn_inventory.organization_country IS NULL AND excluded.organization_country IS NOT NULL)
   OR (asn_inventory.rir_registry IS NULL AND excluded.rir_registry IS NOT NULL)
   OR (excluded.enrichment IS NOT NULL AND excluded.enrichment IS DISTINCT FROM asn_inventory.enrichment)
