-- title: How many networks of an earlier database are here
-- reads: imported_records, asn_inventory
-- parameters: source
SELECT COUNT(*)
FROM imported_records AS r
JOIN asn_inventory AS a ON a.asn_number = CAST(r.target_key AS BIGINT)
WHERE r.source = :source AND r.part = 'networks'
