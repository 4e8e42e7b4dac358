-- asset: password_exposure
-- severity: error
-- blocks: no
-- title: Every password counted was tried at its first and at its last time
-- why: Numbers of tries that no log-in stands behind cannot be proved or recounted.
-- remedy: Delete the rows shown and materialize password_exposure for their days again. What was asked about these
--   passwords stays in enrichment_cache.
SELECT p.first_seen, p.last_seen, p.attempts, p.status
FROM password_exposure AS p
WHERE ((p.first_seen >= :start AND p.first_seen < :end) OR (p.last_seen >= :start AND p.last_seen < :end))
  AND (
    NOT EXISTS (
        SELECT 1 FROM login_attempts AS a WHERE a.event_at = p.first_seen AND a.password IS NOT NULL
        UNION ALL
        SELECT 1 FROM retired_passwords AS r WHERE r.sha1 = p.sha1 AND r.first_seen = p.first_seen
    )
    OR NOT EXISTS (
        SELECT 1 FROM login_attempts AS a WHERE a.event_at = p.last_seen AND a.password IS NOT NULL
        UNION ALL
        SELECT 1 FROM retired_passwords AS r WHERE r.sha1 = p.sha1 AND r.last_seen = p.last_seen
    )
  )
