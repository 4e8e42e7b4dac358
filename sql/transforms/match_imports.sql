-- title: Which sessions about to be imported are there already, made from logs
-- reads: staged_imports, session_days
--
-- The rule is that of find_replaced_imports.
UPDATE staged_imports
SET gave_way_to = (
    SELECT MIN(d.session_key)
    FROM session_days AS d
    WHERE d.session_id = staged_imports.session_id
      AND d.imported_from IS NULL
      AND (staged_imports.sensor = '' OR staged_imports.sensor = d.sensor)
      AND (staged_imports.address = '' OR staged_imports.address = d.source)
      AND d.day BETWEEN staged_imports.first_day AND staged_imports.last_day
)
