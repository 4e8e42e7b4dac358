-- title: A fact of a network that a better source replaces is kept in the history
-- reads: replaced_facts
--
-- A fact replaced twice at one time, by two batches of one run, became the last from the first.
INSERT INTO asn_fact_history (asn_number, field, replaced_at, old_value, old_source, new_value, new_source)
SELECT asn_number, field, replaced_at, old_value, old_source, new_value, new_source
FROM replaced_facts
WHERE true
ORDER BY asn_number, field
ON CONFLICT (asn_number, field, replaced_at) DO UPDATE SET
    new_value = excluded.new_value,
    new_source = excluded.new_source
