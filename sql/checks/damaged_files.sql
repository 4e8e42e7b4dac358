-- asset: raw_sessions
-- severity: warn
-- blocks: no
-- title: Every compressed file could be read to its end
-- why: What stood behind the damage is not in the database: sessions may lack their end, or be missing.
-- remedy: What could be read was loaded. Copy the files shown again from where they came; they are read again when
--   they change.
SELECT path, damage, lines, read_at
FROM log_files
WHERE damage IS NOT NULL
