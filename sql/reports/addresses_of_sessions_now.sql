-- title: Where the addresses of a set of sessions are now
-- question: Which networks and countries do the addresses of these sessions belong to today?
-- parameters: start, end, limit; command: part of a line that was entered (optional); username: name of a log-in
--   (optional); sha256: of a file that was moved (optional); hassh: fingerprint of the client (optional); session_id:
--   one session (optional)
-- columns: asn_number integer, organization_name text, country text, addresses integer, sessions integer,
--   sessions_from_elsewhere integer
-- span: day
-- interactive: join
-- asset: session_snapshots
--
-- By ip_inventory as it is now. The set is as in networks_of_sessions; sessions without an address are left out.
-- `sessions_from_elsewhere` are those that came while the address belonged to another network.
SELECT
    i.current_asn AS asn_number, a.organization_name, i.geo_country AS country,
    COUNT(DISTINCT s.source_ip) AS addresses, COUNT(*) AS sessions,
    SUM(CASE WHEN s.snapshot_asn <> i.current_asn THEN 1 ELSE 0 END) AS sessions_from_elsewhere
FROM session_summaries AS s
JOIN ip_inventory AS i ON i.ip_address = s.source_ip
LEFT JOIN asn_inventory AS a ON a.asn_number = i.current_asn
WHERE s.first_event_at >= :start AND s.first_event_at < :end
  AND (CAST(:session_id AS TEXT) IS NULL OR s.session_id = :session_id)
  AND (CAST(:hassh AS TEXT) IS NULL OR s.hassh = :hassh)
  AND (
    CAST(:command AS TEXT) IS NULL
    OR EXISTS (
        SELECT 1 FROM commands AS d
        WHERE d.session_key = s.session_key AND REPLACE(d.input, CAST(:command AS TEXT), '') <> d.input
    )
  )
  AND (
    CAST(:username AS TEXT) IS NULL
    OR EXISTS (SELECT 1 FROM login_attempts AS d WHERE d.session_key = s.session_key AND d.username = :username)
  )
  AND (
    CAST(:sha256 AS TEXT) IS NULL
    OR EXISTS (SELECT 1 FROM session_files AS d WHERE d.session_key = s.session_key AND d.sha256 = :sha256)
  )
GROUP BY i.current_asn, a.organization_name, i.geo_country
ORDER BY 5 DESC, i.current_asn NULLS LAST, i.geo_country NULLS LAST
LIMIT :limit
