-- title: Networks met by the cascade get a row, and facts where they have none
-- reads: staged_networks
--
-- A new row comes with its type. What a better source says in place of a fact that is there is written before
-- (steps/network_facts.py). Of the entries by source new ones stand in the place of old ones, and a failure never in
-- that of an answer.
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
    enrichment = COALESCE(
        (
            SELECT json_group_object(entry.key, json(entry.value))
            FROM (
                SELECT COALESCE(old.key, new.key) AS key,
                    CASE
                        WHEN new.key IS NULL THEN old.value
                        WHEN json_extract(old.value, '$.status') IN ('hit', 'not_found')
                            AND json_extract(new.value, '$.status') NOT IN ('hit', 'not_found') THEN old.value
                        ELSE new.value
                    END AS value
                FROM (
                    SELECT key, value FROM json_each(asn_inventory.enrichment) WHERE type = 'object'
                ) AS old
                FULL JOIN (SELECT key, value FROM json_each(excluded.enrichment)) AS new ON new.key = old.key
                ORDER BY 1
            ) AS entry
        ),
        asn_inventory.enrichment
    ),
    updated_at = excluded.updated_at
WHERE (asn_inventory.organization_name IS NULL AND excluded.organization_name IS NOT NULL)
   OR (asn_inventory.organization_country IS NULL AND excluded.organization_country IS NOT NULL)
   OR (asn_inventory.rir_registry IS NULL AND excluded.rir_registry IS NOT NULL)
   OR (excluded.enrichment IS NOT NULL AND excluded.enrichment IS DISTINCT FROM asn_inventory.enrichment)
