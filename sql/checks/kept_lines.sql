-- asset: raw_sessions
-- severity: error
-- blocks: yes
-- title: As many lines are kept for each file as it brought events, and as many dead letters
-- why: Days are made again from the lines kept: what is not there is lost at the next time.
-- remedy: Rows of log_segments or dead_letters were removed by hand. Delete the file's row of log_files with its
--   segments, and read the file again.
SELECT f.path, f.events, kept.events AS events_kept, f.dead_letters, letters.lines AS dead_letters_kept
FROM log_files AS f
LEFT JOIN (SELECT file_id, SUM(events) AS events FROM log_segments GROUP BY file_id) AS kept
    ON kept.file_id = f.file_id
LEFT JOIN (SELECT file_id, SUM(lines) AS lines FROM dead_letters GROUP BY file_id) AS letters
    ON letters.file_id = f.file_id
WHERE f.events <> COALESCE(kept.events, 0) OR f.dead_letters <> COALESCE(letters.lines, 0)
