-- title: Networks met again get the facts that they lack
-- reads: staged_networks
--
-- What a better source says in place of a fact that is there is written before (steps/network_facts.py). Of the entries
-- by source new ones stand in the place of old ones, and a failure never in that of an answer.
UPDATE asn_inventory SET
    organization_name = COALESCE(asn_inventory.organization_name, met.organization_name),
    organization_source = CASE
        WHEN asn_inventory.organization_name IS NULL THEN met.organization_source
        ELSE asn_inventory.organization_source
    END,
    organization_country = COALESCE(asn_inventory.organization_country, met.organization_country),
    organization_country_source = CASE
        WHEN asn_inventory.organization_country IS NULL THEN met.organization_country_source
        ELSE asn_inventory.organization_country_source
    END,
    rir_registry = COALESCE(asn_inventory.rir_registry, met.rir_registry),
    rir_registry_source = CASE
        WHEN asn_inventory.rir_registry IS NULL THEN met.rir_registry_source
        ELSE asn_inventory.rir_registry_source
    END,
    enrichment = COALESCE(
        (
            SELECT jsonb_object_agg(
                COALESCE(old.key, new.key),
                CASE
                    WHEN new.key IS NULL THEN old.value
                    WHEN old.value ->> 'status' IN ('hit', 'not_found')
                        AND new.value ->> 'status' NOT IN ('hit', 'not_found') THEN old.value
                    ELSE new.value
                END
            )
            FROM jsonb_each(
                CASE WHEN jsonb_typeof(asn_inventory.enrichment) = 'object' THEN asn_inventory.enrichment END
            ) AS old
            FULL JOIN jsonb_each(met.enrichment) AS new ON new.key = old.key
        ),
        asn_inventory.enrichment
    ),
    updated_at = met.met_at
FROM staged_networks AS met
WHERE met.asn_number = asn_inventory.asn_number
  AND (
    (asn_inventory.organization_name IS NULL AND met.organization_name IS NOT NULL)
    OR (asn_inventory.organization_country IS NULL AND met.organization_country IS NOT NULL)
    OR (asn_inventory.rir_registry IS NULL AND met.rir_registry IS NOT NULL)
    OR (met.enrichment IS NOT NULL AND met.enrichment IS DISTINCT FROM asn_inventory.enrichment)
  )
