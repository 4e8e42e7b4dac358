-- title: What the sessions say of each password that is staged
-- reads: login_attempts, retired_passwords, staged_passwords
--
-- A password is staged as a log-in attempt that has it and its SHA-1, so that no password is ever sent to the database
-- as a parameter, and none can be in an error; without one where only retired days have it. It counts in clear and hashed, as COWRIE_HASH_PASSWORDS was at the time.
-- Log-ins are read once and looked up among the few passwords: CROSS JOIN keeps SQLite to that order.
WITH tried AS MATERIALIZED (
    SELECT one.password, staged.sha1
    FROM staged_passwords AS staged
    JOIN login_attempts AS one ON one.login_attempt_id = staged.login_attempt_id
    UNION
    SELECT 'sha1:' || sha1, sha1 FROM staged_passwords
)
INSERT INTO password_exposure (sha1, first_seen, last_seen, attempts)
SELECT sha1, MIN(first_seen), MAX(last_seen), CAST(SUM(attempts) AS BIGINT)
FROM (
    SELECT tried.sha1, MIN(attempt.event_at) AS first_seen, MAX(attempt.event_at) AS last_seen, COUNT(*) AS attempts
    FROM login_attempts AS attempt
    CROSS JOIN tried
    WHERE tried.password = attempt.password
    GROUP BY tried.sha1
    UNION ALL
    SELECT sha1, first_seen, last_seen, attempts
    FROM retired_passwords
    WHERE sha1 IN (SELECT sha1 FROM staged_passwords)
) AS kept_and_retired
GROUP BY sha1
ORDER BY sha1
ON CONFLICT (sha1) DO UPDATE SET
    first_seen = excluded.first_seen,
    last_seen = excluded.last_seen,
    attempts = excluded.attempts
