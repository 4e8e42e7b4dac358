-- title: What one batch counted, added to what was counted before
-- parameters: a JSON list of rows: instrument, labels, bucket, number, total
--
-- In the order of the key, so that of two batches that add to the same rows one waits for the other, and none for one
-- that waits for it.
INSERT INTO metric_counts (instrument, labels, bucket, number, total)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
FROM json_each(?)
WHERE true
ORDER BY 1, 2, 3
ON CONFLICT (instrument, labels, bucket) DO UPDATE SET
    number = metric_counts.number + excluded.number,
    total = metric_counts.total + excluded.total
