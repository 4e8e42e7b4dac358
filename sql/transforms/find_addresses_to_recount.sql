-- title: Addresses that have other sessions than those that were just written
-- reads: brought_addresses, session_summaries
--
-- An address that has as many sessions as were brought, of which none has changed since, has those. How many it has
-- the index alone says; to say when they were, every session has to be read.
INSERT INTO touched_addresses (ip_address)
SELECT brought.ip_address
FROM (SELECT ip_address, SUM(sessions) AS sessions FROM brought_addresses GROUP BY ip_address) AS brought
LEFT JOIN session_summaries AS s ON s.source_ip = brought.ip_address
GROUP BY brought.ip_address, brought.sessions
HAVING COUNT(s.session_key) <> brought.sessions
