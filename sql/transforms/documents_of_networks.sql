-- title: What the documents of addresses say of networks that lack facts
-- reads: ip_inventory
-- parameters: networks
--
-- One row for all addresses of a network that say the same: the values at the paths of enrichment/network_claims.py, in
-- its order, as a JSON array; in `fault`, the kind of document or entry where an object is expected; how many addresses
-- they are, and the first of them.
-- What is no JSON must not reach a function of JSON, which would end the statement. The array is given as bytes: they may
-- be no UTF-8. The plus keeps SQLite from reading a wide table in the order of an index, which takes three times as long.
SELECT current_asn, fault, CAST(said AS BLOB) AS said, COUNT(*) AS addresses, MIN(ip_address) AS first_address
FROM (
    SELECT
        ip_address, current_asn,
        CASE
            WHEN kind <> 'object' THEN kind
            WHEN COALESCE(json_type(document, '$.maxmind'), 'null') NOT IN ('object', 'null')
                THEN 'maxmind ' || json_type(document, '$.maxmind')
            WHEN COALESCE(json_type(document, '$.cymru_asn'), 'null') NOT IN ('object', 'null')
                THEN 'cymru_asn ' || json_type(document, '$.cymru_asn')
            WHEN COALESCE(json_type(document, '$.cymru'), 'null') NOT IN ('object', 'null')
                THEN 'cymru ' || json_type(document, '$.cymru')
        END AS fault,
        CASE
            WHEN kind = 'object' THEN json_extract(
                document,
                '$.maxmind.asn', '$.cymru_asn.asn', '$.cymru.asn', '$.maxmind.organization', '$.maxmind.asn_org',
                '$.cymru_asn.organization', '$.cymru.org', '$.cymru_asn.country', '$.cymru.country',
                '$.cymru_asn.registry', '$.cymru.registry'
            )
        END AS said
    FROM (
        SELECT
            ip_address, current_asn, enrichment AS document,
            CASE
                WHEN typeof(enrichment) = 'blob' OR NOT json_valid(enrichment) THEN 'invalid'
                ELSE json_type(enrichment)
            END AS kind
        FROM ip_inventory
        WHERE +current_asn IN (SELECT value FROM json_each(:networks)) AND enrichment IS NOT NULL
    ) AS typed
) AS told
GROUP BY current_asn, fault, said
