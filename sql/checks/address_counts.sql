-- asset: ip_inventory
-- severity: error
-- blocks: no
-- title: An address's session count, first and last time are those of its sessions
-- why: Lists of the most active addresses, and which of them are worth a look-up, are read from these counts.
-- remedy: Delete the rows of loaded_days for a day on which the address was active and materialize it again: the
--   addresses of the day are recounted.
--
-- Of the addresses that were active on these days, or were so as it was thought: to count all sessions after each of a
-- year's days would take longer every day. reconciled_inventories counts those of all addresses each night.
WITH looked_at AS (
    SELECT source_ip AS ip_address
    FROM session_days
    WHERE day BETWEEN :first_day AND :last_day AND source_ip IS NOT NULL
    UNION
    SELECT ip_address
    FROM ip_inventory
    WHERE (last_seen >= :start AND last_seen < :end) OR (last_seen IS NULL AND session_count <> 0)
)
SELECT
    i.ip_address, i.session_count, COALESCE(r.sessions, 0) AS session_count_recounted, i.first_seen, r.first_seen AS
    first_seen_recounted
FROM looked_at
JOIN ip_inventory AS i ON i.ip_address = looked_at.ip_address
LEFT JOIN (
    SELECT source_ip, COUNT(*) AS sessions, MIN(first_event_at) AS first_seen, MAX(last_event_at) AS last_seen
    FROM session_summaries
    WHERE source_ip IN (SELECT ip_address FROM looked_at)
    GROUP BY source_ip
) AS r ON r.source_ip = i.ip_address
WHERE i.session_count <> COALESCE(r.sessions, 0)
   OR i.first_seen IS DISTINCT FROM r.first_seen
   OR i.last_seen IS DISTINCT FROM r.last_seen
