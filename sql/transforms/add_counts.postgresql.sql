-- title: What one batch counted, added to what was counted before
-- parameters: a JSON list of rows: instrument, labels, bucket, number, total
--
-- In the order of the key, so that of two batches that add to the same rows one waits for the other, and none for one
-- that waits for it.
INSERT INTO metric_counts (instrument, labels, bucket, number, total)
SELECT counted ->> 0, counted ->> 1, counted ->> 2, CAST(counted ->> 3 AS bigint), CAST(counted ->> 4 AS double precision)
FROM json_array_elements(CAST(%s AS json)) AS counted
ORDER BY 1, 2, 3
ON CONFLICT (instrument, labels, bucket) DO UPDATE SET
    number = metric_counts.number + excluded.number,
    total = metric_counts.total + excluded.total
