"""What the world knows of an address: the cascade, its sources, outcomes and bogons. No SQL, no Dagster."""
