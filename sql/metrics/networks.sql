-- title: Networks by registry, and how many of them have every fact
-- reads: asn_inventory
SELECT
    rir_registry,
    COUNT(*) AS networks,
    COUNT(
        CASE
            WHEN organization_name IS NOT NULL AND organization_country IS NOT NULL AND rir_registry IS NOT NULL THEN 1
        END
    ) AS with_metadata
FROM asn_inventory
GROUP BY rir_registry
