-- title: What became of look-ups of the passwords that were first or last tried on each day
-- parameters: start, end
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
