-- title: How many files of an earlier database are written down here
-- reads: imported_records
-- parameters: source
SELECT COUNT(*)
FROM imported_records AS r
WHERE r.source = :source AND r.part = 'files'
