"""Alembic migrations and what runs them."""
