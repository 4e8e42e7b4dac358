-- title: Networks of an earlier database get a row, and what it said of them where nothing is known
-- reads: staged_imported_networks
--
-- Nobody knows where the earlier system had it from: the source `imported` is worth less than any other.
-- Returns those that are new or got a fact.
INSERT INTO asn_inventory (
    asn_number, organization_name, organization_source, organization_country, organization_country_source,
    rir_registry, rir_registry_source, created_at, updated_at
)
SELECT
    asn_number,
    organization_name, CASE WHEN organization_name IS NOT NULL THEN 'imported' END,
    organization_country, CASE WHEN organization_country IS NOT NULL THEN 'imported' END,
    rir_registry, CASE WHEN rir_registry IS NOT NULL THEN 'imported' END,
    met_at, met_at
FROM staged_imported_networks
WHERE true
ORDER BY asn_number
ON CONFLICT (asn_number) DO UPDATE SET
    organization_name = COALESCE(asn_inventory.organization_name, excluded.organization_name),
    organization_source = CASE
        WHEN asn_inventory.organization_name IS NULL THEN excluded.organization_source
        ELSE asn_inventory.organization_source
    END,
    organization_country = COALESCE(asn_inventory.organization_country, excluded.organization_country),
    organization_country_source = CASE
        WHEN asn_inventory.organization_country IS NULL THEN excluded.organization_country_source
        ELSE asn_inventory.organization_country_source
    END,
    rir_registry = COALESCE(asn_inventory.rir_registry, excluded.rir_registry),
    rir_registry_source = CASE
        WHEN asn_inventory.rir_registry IS NULL THEN excluded.rir_registry_source
        ELSE asn_inventory.rir_registry_source
    END,
    updated_at = excluded.updated_at
WHERE (asn_inventory.organization_name IS NULL AND excluded.organization_name IS NOT NULL)
   OR (asn_inventory.organization_country IS NULL AND excluded.organization_country IS NOT NULL)
   OR (asn_inventory.rir_registry IS NULL AND excluded.rir_registry IS NOT NULL)
RETURNING asn_number
