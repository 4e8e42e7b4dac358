-- title: Networks by sessions
-- question: Which networks attack most often?
-- parameters: first_day, last_day, limit
-- columns: asn_number integer, organization_name text, organization_country text, asn_type text, sessions integer,
--   share number, logins integer, successful_logins integer, commands integer, downloads integer, days integer
-- interactive: snapshot
-- asset: asn_session_counts
-- plot: sessions by organization_name
--
-- Networks at attack time, by snapshot. A session counts on the day on which it began. `share` is of the sessions of
-- all sessions of the span, also of those whose network is not known, which are no row here. `days` counts the days on
-- which the network came.
SELECT
    asn_number, organization_name, organization_country, asn_type, sessions,
    share, logins, successful_logins, commands, downloads, days
FROM ({parts/first_networks count=sessions}) AS first_networks
ORDER BY sessions DESC, asn_number
