-- title: Passwords that were first or last tried in a span of time, as it was thought, and were not
-- reads: staged_passwords; :start, :end
--
-- See forget_files.
DELETE FROM password_exposure
WHERE ((first_seen >= :start AND first_seen < :end) OR (last_seen >= :start AND last_seen < :end))
  AND sha1 NOT IN (SELECT sha1 FROM staged_passwords)
