"""Tests: real databases, real files, real servers of our own on loopback."""
