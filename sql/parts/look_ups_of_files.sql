-- title: What became of look-ups of the files of each day
-- parameters: start, end
SELECT date(f.event_at), 'virustotal', r.status, COUNT(DISTINCT r.sha256)
FROM session_files AS f
JOIN file_reputation AS r ON r.sha256 = f.sha256
WHERE f.event_at >= :start AND f.event_at < :end AND r.status IS NOT NULL
GROUP BY date(f.event_at), r.status
