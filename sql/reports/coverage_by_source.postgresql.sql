-- title: What became of each source's look-ups of what a day had: addresses, their networks, files, passwords
-- question: Which source answers, which knows nothing, which fails, and where did the budget end?
-- parameters: first_day, last_day, start, end
-- columns: day day, source text, status text, looked_up integer
-- interactive: no
--
-- Of addresses and networks those sources count that could be asked when the address was looked up last: what one left
-- behind that is off by now says nothing of today. Passwords are in no table by hash and day, so those count that were
-- first or last tried on the day. What nobody was asked about is left out.
WITH active AS (
    SELECT DISTINCT d.day, i.ip_address, i.current_asn, i.enrichment, '+' || i.enrichment_sources || '+' AS asked
    FROM session_days AS d
    JOIN ip_inventory AS i ON i.ip_address = d.source_ip
    WHERE d.day BETWEEN :first_day AND :last_day AND i.enrichment IS NOT NULL
),
networks AS (
    SELECT DISTINCT active.day, a.asn_number, a.enrichment, active.asked
    FROM active
    JOIN asn_inventory AS a ON a.asn_number = active.current_asn
    WHERE a.enrichment IS NOT NULL
)
SELECT active.day, source.key AS source, source.value ->> 'status' AS status, COUNT(*) AS looked_up
FROM active, jsonb_each(active.enrichment) AS source
WHERE jsonb_typeof(source.value) = 'object' AND strpos(active.asked, '+' || source.key || '+') > 0
GROUP BY active.day, source.key, source.value ->> 'status'
UNION ALL
SELECT networks.day, source.key, source.value ->> 'status', COUNT(DISTINCT networks.asn_number)
FROM networks, jsonb_each(networks.enrichment) AS source
WHERE jsonb_typeof(source.value) = 'object' AND source.key IN ('cymru_asn', 'rir', 'spamhaus_asndrop')
  AND strpos(networks.asked, '+' || source.key || '+') > 0
GROUP BY networks.day, source.key, source.value ->> 'status'
UNION ALL
{parts/look_ups_of_files}
UNION ALL
{parts/look_ups_of_passwords}
ORDER BY 1, 2, 3
