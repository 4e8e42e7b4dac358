-- asset: raw_sessions
-- severity: error
-- blocks: yes
-- title: Every session's address is in ip_inventory
-- why: A session whose address is unknown gets no network, no country and no snapshot.
-- remedy: Foreign keys were off while something wrote to the database. Materialize the days shown again; if the rows
--   stay, find what writes to session_summaries beside the pipeline.
SELECT s.session_key, s.sensor, s.session_id, s.source_ip, s.first_event_at
FROM session_summaries AS s
WHERE s.source_ip IS NOT NULL
  AND s.first_event_at >= :start AND s.first_event_at < :end
  AND NOT EXISTS (SELECT 1 FROM ip_inventory AS i WHERE i.ip_address = s.source_ip)
