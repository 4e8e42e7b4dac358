-- title: What the documents of addresses say of networks that lack facts
-- reads: ip_inventory
-- parameters: networks
--
-- The documents as they are: SQLite takes values out of them more slowly than they are read here; and what is no JSON,
-- or no text, ends its functions with an error. NOT INDEXED keeps it from reading a wide table in the order of an index,
-- which takes five times as long.
SELECT current_asn, CAST(enrichment AS BLOB) AS document, ip_address
FROM ip_inventory NOT INDEXED
WHERE current_asn IN (SELECT value FROM json_each(:networks)) AND enrichment IS NOT NULL
