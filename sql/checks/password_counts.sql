-- asset: password_exposure
-- severity: error
-- blocks: no
-- title: Passwords are counted as often as they were tried
-- why: Rankings of passwords, and which of them are worth a look-up, are read from these counts.
-- remedy: Materialize password_exposure for the days again. If the row stays, delete the rows of password_exposure and
--   materialize all days; what was asked stays in enrichment_cache.
--
-- A database cannot hash, so this compares sums: what was tried in the span is counted by the passwords known in it, and
-- the passwords known in it alone are counted no more often.
SELECT tried.attempts, known.attempts AS counted, known.attempts_within AS counted_of_passwords_tried_in_this_span_alone
FROM (
    SELECT COALESCE(SUM(attempts), 0) AS attempts
    FROM (
        SELECT COUNT(*) AS attempts
        FROM login_attempts
        WHERE event_at >= :start AND event_at < :end AND password IS NOT NULL
        UNION ALL
        SELECT SUM(attempts) FROM retired_passwords WHERE first_seen >= :start AND first_seen < :end
    ) AS kept_and_retired
) AS tried
CROSS JOIN (
    SELECT
        COALESCE(SUM(attempts), 0) AS attempts,
        COALESCE(SUM(CASE WHEN first_seen >= :start AND last_seen < :end THEN attempts ELSE 0 END), 0)
            AS attempts_within
    FROM password_exposure
    WHERE last_seen >= :start AND first_seen < :end
) AS known
WHERE tried.attempts > known.attempts OR tried.attempts < known.attempts_within
