-- title: Networks by downloads
-- question: Which networks have the honeypot fetch most files?
-- parameters: first_day, last_day, limit
-- columns: asn_number integer, organization_name text, organization_country text, asn_type text, downloads integer,
--   share number, sessions integer, logins integer, successful_logins integer, commands integer, days integer
-- interactive: snapshot
--
-- Networks at attack time, by snapshot. A file fetched twice is two downloads; files that were brought (uploads) are
-- none. `share` is of the downloads of all sessions of the span, also of those whose network is not known, which are no
-- row here. `days` counts the days on which the network came.
SELECT
    asn_number, organization_name, organization_country, asn_type, downloads,
    share, sessions, logins, successful_logins, commands, days
FROM ({parts/first_networks count=downloads}) AS first_networks
ORDER BY downloads DESC, asn_number
