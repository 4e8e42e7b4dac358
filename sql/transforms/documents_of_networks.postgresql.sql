-- title: What the documents of addresses say of networks that lack facts
-- reads: ip_inventory
-- parameters: networks
--
-- One row for all addresses of a network that say the same: the values at the paths of enrichment/network_claims.py, in
-- its order, as a JSON array; in `fault`, the kind of document or entry where an object is expected; how many addresses
-- they are, and the first of them. Alike is what has the same text: as JSON, 1 and 1.0 are one number, and the second is
-- no AS number. An array of networks, and no temporary table, lets several processes read.
SELECT current_asn, fault, said, COUNT(*) AS addresses, MIN(ip_address) AS first_address
FROM (
    SELECT
        ip_address, current_asn,
        CASE
            WHEN jsonb_typeof(enrichment) <> 'object' THEN jsonb_typeof(enrichment)
            WHEN COALESCE(jsonb_typeof(enrichment -> 'maxmind'), 'null') NOT IN ('object', 'null')
                THEN 'maxmind ' || jsonb_typeof(enrichment -> 'maxmind')
            WHEN COALESCE(jsonb_typeof(enrichment -> 'cymru_asn'), 'null') NOT IN ('object', 'null')
                THEN 'cymru_asn ' || jsonb_typeof(enrichment -> 'cymru_asn')
            WHEN COALESCE(jsonb_typeof(enrichment -> 'cymru'), 'null') NOT IN ('object', 'null')
                THEN 'cymru ' || jsonb_typeof(enrichment -> 'cymru')
        END AS fault,
        CASE
            WHEN jsonb_typeof(enrichment) = 'object' THEN CAST(jsonb_build_array(
                enrichment #> '{maxmind,asn}', enrichment #> '{cymru_asn,asn}', enrichment #> '{cymru,asn}',
                enrichment #> '{maxmind,organization}', enrichment #> '{maxmind,asn_org}',
                enrichment #> '{cymru_asn,organization}', enrichment #> '{cymru,org}',
                enrichment #> '{cymru_asn,country}', enrichment #> '{cymru,country}',
                enrichment #> '{cymru_asn,registry}', enrichment #> '{cymru,registry}'
            ) AS TEXT)
        END AS said
    FROM ip_inventory
    WHERE current_asn = ANY(:networks) AND enrichment IS NOT NULL
) AS told
GROUP BY current_asn, fault, said
