-- title: Which networks a set of sessions came from
-- question: Which networks did these sessions come from, when they attacked?
-- parameters: start, end, limit; command: part of a line that was entered (optional); username: name of a log-in
--   (optional); sha256: of a file that was moved (optional); hassh: fingerprint of the client (optional); session_id:
--   one session (optional)
-- columns: asn_number integer, country text, sessions integer, share number, addresses integer, logged_in integer,
--   first_event_at time, last_event_at time
-- span: day
-- interactive: snapshot
-- asset: session_snapshots
--
-- By the snapshots alone: network and country as they were known at attack time, NULL where none was. The set are the
-- sessions that began in the span and have everything that is asked for. `share` is of the set, `logged_in` counts the
-- sessions with a successful log-in, and the times are those of the first and the last beginning. The time that it
-- takes grows with the set: interactive are sets up to a day of about 20,000 sessions.
SELECT
    snapshot_asn AS asn_number, snapshot_country AS country, COUNT(*) AS sessions,
    CAST(COUNT(*) AS DOUBLE PRECISION) / SUM(COUNT(*)) OVER () AS share, COUNT(DISTINCT source_ip) AS addresses,
    SUM(CASE WHEN login_success_count > 0 THEN 1 ELSE 0 END) AS logged_in,
    MIN(first_event_at) AS first_event_at, MAX(first_event_at) AS last_event_at
FROM session_summaries AS s
WHERE first_event_at >= :start AND first_event_at < :end
  AND (CAST(:session_id AS TEXT) IS NULL OR session_id = :session_id)
  AND (CAST(:hassh AS TEXT) IS NULL OR hassh = :hassh)
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
GROUP BY snapshot_asn, snapshot_country
ORDER BY 3 DESC, snapshot_asn NULLS LAST, snapshot_country NULLS LAST
LIMIT :limit
