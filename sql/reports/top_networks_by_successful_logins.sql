-- title: Networks by successful log-ins
-- question: Which networks get in most often?
-- parameters: first_day, last_day, limit
-- columns: asn_number integer, organization_name text, organization_country text, asn_type text, successful_logins
--   integer, share number, sessions integer, logins integer, commands integer, downloads integer, days integer
-- interactive: snapshot
--
-- Networks at attack time, by snapshot. `share` is of the successful log-ins of all sessions of the span, also of those
-- whose network is not known, which are no row here. `days` counts the days on which the network came.
SELECT
    asn_number, organization_name, organization_country, asn_type, successful_logins,
    share, sessions, logins, commands, downloads, days
FROM ({parts/first_networks count=successful_logins}) AS first_networks
ORDER BY successful_logins DESC, asn_number
