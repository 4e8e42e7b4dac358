"""The definitions as text, to see in a diff what Dagster's users will see change.

After a change that is meant: `python -m cowrie_pipeline_tests.orchestration.definitions_text` writes the new text.
"""

from datetime import date
from pathlib import Path

import dagster as dg

from cowrie_pipeline.orchestration.build import build_definitions
from cowrie_pipeline.settings import Settings

SNAPSHOT = Path(__file__).with_name("definitions.txt")
START_DATE = date(2020, 2, 29)


def describe(definitions: dg.Definitions) -> str:
    """Return every asset, check, job and resource, a line each."""
    graph = definitions.resolve_asset_graph()
    lines = []
    for key in sorted(graph.get_all_asset_keys()):
        asset = graph.get(key)
        lines += [
            f"asset {key.to_user_string()}",
            f"  after: {', '.join(sorted(each.to_user_string() for each in asset.parent_keys)) or '-'}",
            f"  group: {asset.group_name}",
            f"  kinds: {', '.join(sorted(asset.kinds))}",
            f"  owners: {', '.join(asset.owners)}",
            f"  code version: {asset.code_version}",
            f"  partitions: {asset.partitions_def}",
            f"  backfill: {asset.backfill_policy}",
            f"  pools: {', '.join(sorted(asset.pools or ())) or '-'}",
        ]
    for check_key in sorted(graph.asset_check_keys, key=str):
        blocks = graph.get_check_spec(check_key).blocking
        lines.append(f"check {check_key.asset_key.to_user_string()}.{check_key.name}{' blocks' if blocks else ''}")
    lines += [
        f"job {job.name}"
        for job in sorted(definitions.resolve_all_job_defs(), key=lambda each: each.name)
        if not job.name.startswith("__")
    ]
    lines += [f"resource {name}" for name in sorted(definitions.resources or {})]
    lines += [f"schedule {each.name}" for each in definitions.schedules or ()]
    lines += [f"sensor {each.name}" for each in definitions.sensors or ()]
    return "\n".join(lines) + "\n"


def present() -> dg.Definitions:
    """Return the definitions as the code makes them now."""
    return build_definitions(Settings(start_date=START_DATE))


if __name__ == "__main__":
    SNAPSHOT.write_text(describe(present()), encoding="utf-8")
