-- title: Networks by registry, and how many of them are more than a number
-- reads: asn_inventory
SELECT
    rir_registry,
    COUNT(*) AS networks,
    COUNT(COALESCE(organization_name, organization_country, rir_registry)) AS with_metadata
FROM asn_inventory
GROUP BY rir_registry
