-- title: What services said of addresses in a country, as far as it is kept
-- question: Which addresses are there in this country, who says so, and since when?
-- parameters: country: two capital letters
-- columns: ip_address text, service text, fetched_at time, expires_at time
-- interactive: no
--
-- The country is what the service says: for Team Cymru that of the network's registration.
SELECT key AS ip_address, service, fetched_at, expires_at
FROM enrichment_cache
WHERE status = 'hit' AND payload ->> 'country' = :country AND service <> 'cymru_asn'
ORDER BY key, service
