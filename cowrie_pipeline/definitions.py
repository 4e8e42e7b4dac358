"""The code location: what Dagster loads."""

from cowrie_pipeline.orchestration.build import build_definitions

defs = build_definitions()
