-- asset: raw_sessions
-- severity: error
-- blocks: yes
-- title: Every line read is an event, a duplicate, a dead letter or blank
-- why: It is the proof that no line was lost between the file and the database.
-- remedy: This is a defect of the reader. Keep the files shown and report it; the sessions made of them may lack events.
SELECT path, lines, events, duplicates, dead_letters, blank_lines
FROM log_files
WHERE lines <> events + duplicates + dead_letters + blank_lines
