"""The database: tables, engine, migrations, bulk writers, and the memory of look-ups. No Dagster."""
