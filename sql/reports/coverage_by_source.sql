-- title: What became of each source's look-ups of a day's addresses
-- question: Which source answers, which knows nothing, and which fails?
-- parameters: first_day, last_day
SELECT active.day, source.key AS source, source.value ->> 'status' AS status, COUNT(*) AS addresses
FROM (
    SELECT DISTINCT d.day, i.ip_address, i.enrichment
    FROM session_days AS d
    JOIN ip_inventory AS i ON i.ip_address = d.source_ip
    WHERE d.day BETWEEN :first_day AND :last_day AND i.enrichment IS NOT NULL
) AS active, json_each(active.enrichment) AS source
WHERE source.type = 'object'
GROUP BY active.day, source.key, source.value ->> 'status'
ORDER BY 1, 2, 3
