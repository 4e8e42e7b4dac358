"""Databases of the older, session-level layout: what their rows say, and how that is written here."""
