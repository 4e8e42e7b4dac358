-- asset: ip_inventory
-- severity: error
-- blocks: no
-- title: An address's session count, first and last time are those of its sessions
-- why: Lists of the most active addresses, and which of them are worth a look-up, are read from these counts.
-- remedy: Delete the rows of loaded_days for a day on which the address was active and materialize it again: the
--   addresses of the day are recounted.
SELECT
    i.ip_address, i.session_count, COALESCE(r.sessions, 0) AS session_count_recounted, i.first_seen, r.first_seen AS
    first_seen_recounted
FROM ip_inventory AS i
LEFT JOIN (
    SELECT source_ip, COUNT(*) AS sessions, MIN(first_event_at) AS first_seen, MAX(last_event_at) AS last_seen
    FROM session_summaries
    GROUP BY source_ip
) AS r ON r.source_ip = i.ip_address
WHERE i.session_count <> COALESCE(r.sessions, 0)
   OR i.first_seen IS DISTINCT FROM r.first_seen
   OR i.last_seen IS DISTINCT FROM r.last_seen
