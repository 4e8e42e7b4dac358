-- title: Files that scanners call malicious, as VirusTotal said since a time
-- question: Which files were flagged lately, and by how many scanners?
-- parameters: since
SELECT
    key AS sha256,
    CAST(payload ->> 'malicious' AS INTEGER) AS malicious,
    payload ->> 'label' AS label,
    fetched_at
FROM enrichment_cache
WHERE service = 'virustotal' AND fetched_at >= :since AND status = 'hit'
    AND CASE WHEN service = 'virustotal' THEN CAST(payload ->> 'malicious' AS INTEGER) > 0 END
ORDER BY 2 DESC, fetched_at DESC, key
