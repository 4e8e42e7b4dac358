"""Cowrie honeypot logs become sessions, attacking addresses and networks, day by day."""

__version__ = "0.1.0"
