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
FROM active, json_each(active.enrichment) AS source
WHERE source.type = 'object' AND instr(active.asked, '+' || source.key || '+') > 0
GROUP BY active.day, source.key, source.value ->> 'status'
UNION ALL
SELECT networks.day, source.key, source.value ->> 'status', COUNT(DISTINCT networks.asn_number)
FROM networks, json_each(networks.enrichment) AS source
WHERE source.type = 'object' AND source.key IN ('cymru_asn', 'rir', 'spamhaus_asndrop')
  AND instr(networks.asked, '+' || source.key || '+') > 0
GROUP BY networks.day, source.key, source.value ->> 'status'
UNION ALL
SELECT date(f.event_at), 'virustotal', r.status, COUNT(DISTINCT r.sha256)
FROM session_files AS f
JOIN file_reputation AS r ON r.sha256 = f.sha256
WHERE f.event_at >= :start AND f.event_at < :end AND r.status IS NOT NULL
GROUP BY date(f.event_at), r.status
UNION ALL
SELECT tried.day, 'pwned_passwords', tried.status, COUNT(*)
FROM (
    SELECT date(first_seen) AS day, sha1, status
    FROM password_exposure WHERE first_seen >= :start AND first_seen < :end
    UNION
    SELECT date(last_seen), sha1, status
    FROM password_exposure WHERE last_seen >= :start AND last_seen < :end
) AS tried
WHERE tried.status IS NOT NULL
GROUP BY tried.day, tried.status
ORDER BY 1, 2, 3
