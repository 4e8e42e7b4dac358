-- title: Sessions by protocol and by what their snapshot is worth
-- reads: session_summaries
--
-- One pass for both metrics.
SELECT protocol, snapshot_basis, COUNT(*) AS sessions
FROM session_summaries
GROUP BY protocol, snapshot_basis
