-- title: Files that scanners call malicious, as VirusTotal said since a day
-- question: Which files were flagged, and by how many scanners?
-- parameters: start
-- columns: sha256 text, malicious integer, label text, fetched_at time
-- span: look_ups
-- interactive: no
--
-- All that was said since the beginning of the span.
SELECT
    key AS sha256,
    CAST(payload ->> 'malicious' AS INTEGER) AS malicious,
    payload ->> 'label' AS label,
    fetched_at
FROM enrichment_cache
WHERE service = 'virustotal' AND fetched_at >= :start AND status = 'hit'
    AND CASE WHEN service = 'virustotal' THEN CAST(payload ->> 'malicious' AS INTEGER) > 0 END
ORDER BY 2 DESC, fetched_at DESC, key
