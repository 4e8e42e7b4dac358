-- title: How many addresses of an earlier database are here
-- reads: imported_records, ip_inventory
-- parameters: source
SELECT COUNT(*)
FROM imported_records AS r
JOIN ip_inventory AS i ON i.ip_address = CAST(r.target_key AS INET)
WHERE r.source = :source AND r.part = 'addresses'
