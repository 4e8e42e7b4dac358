"""Dagster and nothing else: assets, checks, jobs, partitions, resources. The work is in steps/."""
