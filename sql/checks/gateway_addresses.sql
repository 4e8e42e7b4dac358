-- asset: ip_inventory
-- severity: warn
-- blocks: no
-- title: No private address has nearly all sessions of a sensor on a day
-- why: Attackers come from everywhere. One private address behind all sessions is the gateway of the network that
--   Cowrie runs in, such as Docker's: who really attacked is not in the log, and nothing can be learned of it later.
-- remedy: Let Cowrie see the addresses that connect. In Docker run its container with `network_mode: host`, or set
--   `"userland-proxy": false` in the daemon's configuration; behind a proxy or load balancer let that one pass the
--   source on (transparent proxy, or the PROXY protocol where both speak it); where a firewall forwards the ports, do not
--   let it rewrite the source (no SNAT or masquerading towards Cowrie). Sessions that are logged already stay as they
--   are. Thresholds: COWRIE_GATEWAY_SHARE, COWRIE_VOLUME_LEAST.
SELECT counted.day, counted.sensor, counted.source_ip, counted.sessions, counted.sessions_of_sensor
FROM (
    SELECT
        date(first_event_at) AS day, sensor, source_ip, COUNT(*) AS sessions,
        CAST(SUM(COUNT(*)) OVER (PARTITION BY date(first_event_at), sensor) AS BIGINT) AS sessions_of_sensor
    FROM session_summaries
    WHERE first_event_at >= :start AND first_event_at < :end
    GROUP BY date(first_event_at), sensor, source_ip
) AS counted
JOIN ip_inventory AS i ON i.ip_address = counted.source_ip
WHERE i.is_bogon
  AND counted.sessions_of_sensor >= :volume_least
  AND counted.sessions >= :gateway_share * counted.sessions_of_sensor
