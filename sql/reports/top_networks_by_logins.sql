-- title: Networks by log-ins tried
-- question: Which networks try most passwords and keys?
-- parameters: first_day, last_day, limit
-- columns: asn_number integer, organization_name text, organization_country text, asn_type text, logins integer, share
--   number, sessions integer, successful_logins integer, commands integer, downloads integer, days integer
-- interactive: snapshot
--
-- Networks at attack time, by snapshot. `logins` counts all that were tried, successful or not. `share` is of the log-
-- ins of all sessions of the span, also of those whose network is not known, which are no row here. `days` counts the
-- days on which the network came.
SELECT
    asn_number, organization_name, organization_country, asn_type, logins,
    share, sessions, successful_logins, commands, downloads, days
FROM ({parts/first_networks count=logins}) AS first_networks
ORDER BY logins DESC, asn_number
