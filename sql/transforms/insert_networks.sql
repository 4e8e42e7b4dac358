-- title: Networks met for the first time get a row
-- reads: staged_networks
--
-- In the order of their numbers, and without a lock on rows that are there: of two writers that meet the same new network
-- one waits here, and none holds a row that the other will ask for (steps/network_facts.py). Returns those that are new.
INSERT INTO asn_inventory (
    asn_number, organization_name, organization_source, organization_country, organization_country_source,
    rir_registry, rir_registry_source, asn_type, asn_type_basis, is_known_hosting, is_known_vpn, enrichment,
    created_at, updated_at
)
SELECT
    asn_number, organization_name, organization_source, organization_country, organization_country_source,
    rir_registry, rir_registry_source, asn_type, asn_type_basis, is_known_hosting, is_known_vpn, enrichment,
    met_at, met_at
FROM staged_networks
WHERE NOT EXISTS (SELECT 1 FROM asn_inventory WHERE asn_inventory.asn_number = staged_networks.asn_number)
ORDER BY asn_number
ON CONFLICT (asn_number) DO NOTHING
RETURNING asn_number
