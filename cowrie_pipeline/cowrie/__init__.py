"""The Cowrie log format: files to lines, lines to events, events to sessions. No SQL, no Dagster, no network."""
