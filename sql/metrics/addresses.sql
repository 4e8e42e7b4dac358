-- title: Addresses: all, those of which a fact must be asked again, and bogons
-- reads: ip_inventory; :now
SELECT
    COUNT(*) AS total,
    COUNT(CASE WHEN enrichment_due_at IS NULL OR enrichment_due_at <= :now THEN 1 END) AS stale,
    COUNT(CASE WHEN is_bogon THEN 1 END) AS bogons
FROM ip_inventory
