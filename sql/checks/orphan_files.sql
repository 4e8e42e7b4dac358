-- asset: file_reputation
-- severity: error
-- blocks: no
-- title: Every file in file_reputation was brought by a session
-- why: Look-ups at limited services would be spent on files that nobody brought.
-- remedy: Delete the rows shown. What was asked about these files stays in enrichment_cache.
SELECT f.sha256, f.first_seen, f.last_seen, f.transfers
FROM file_reputation AS f
WHERE ((f.first_seen >= :start AND f.first_seen < :end) OR (f.last_seen >= :start AND f.last_seen < :end))
  AND NOT EXISTS (
    SELECT 1 FROM session_files AS s WHERE s.event_at IN (f.first_seen, f.last_seen) AND s.sha256 = f.sha256
  )
  AND NOT EXISTS (
    SELECT 1 FROM retired_files AS r
    WHERE r.sha256 = f.sha256 AND (r.first_seen = f.first_seen OR r.last_seen = f.last_seen)
  )
