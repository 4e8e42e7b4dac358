-- title: Addresses that changed country
-- question: Which addresses are said to be in another country than before, and since when?
-- parameters: start, end, limit
-- columns: ip_address text, old_country text, old_basis text, new_country text, new_basis text, changed_at time
-- span: week
-- interactive: no
--
-- A basis says what a country means: where the address is (geolocation), or where its block is registered (registry).
-- Where the two differ, it is the source that changed, and perhaps not the address.
SELECT ip_address, old_country, old_basis, new_country, new_basis, changed_at
FROM ip_country_changes
WHERE changed_at >= :start AND changed_at < :end
ORDER BY changed_at DESC, ip_address
LIMIT :limit
