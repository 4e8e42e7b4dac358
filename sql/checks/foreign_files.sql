-- asset: raw_sessions
-- severity: warn
-- blocks: no
-- title: Every file read is a Cowrie log
-- why: Its lines are all dead letters. A log in another format, or the wrong folder, is a honeypot that is not
--   seen.
-- remedy: Take the files shown out of COWRIE_LOGS, or name the logs by a pattern such as /srv/cowrie/cowrie.json*.
SELECT path, lines, read_at
FROM log_files
WHERE is_foreign
