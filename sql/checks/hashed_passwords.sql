-- asset: password_exposure
-- severity: error
-- blocks: no
-- title: Passwords are kept as SHA-1 alone, 40 upper-case hexadecimal digits
-- why: People type their own passwords into honeypots by mistake. What is kept in clear can be stolen.
-- remedy: Something beside the pipeline wrote to password_exposure. Delete the rows with these times; their sha1, which
--   may be a password in clear, is not shown.
SELECT length(sha1) AS characters, first_seen, last_seen, attempts
FROM password_exposure
WHERE length(sha1) <> 40 OR ltrim(sha1, '0123456789ABCDEF') <> ''
