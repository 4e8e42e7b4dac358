"""What telemetry costs in instructions: `python -m benchmarks.instructions`, where valgrind is installed.

Processor time tells work apart to some per cent, since whoever else uses the machine changes its speed; instructions
are the same each time. It takes half an hour, so it is no part of `make bench`. What the server of PostgreSQL does is
not in it. With telemetry, counts are kept in the database, and spans and metrics go to a collector on loopback.

Belongs here: counting instructions. Does not belong here: the work (tasks.py), processor time (figures.py).
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.databases import DIALECTS, Databases
from benchmarks.inputs import Inputs
from benchmarks.measure import MeasureError, run_task, task_command
from cowrie_pipeline_tests.contract.collector import take_telemetry
from cowrie_pipeline_tests.contract.http_process import served_elsewhere

_EVENTS = 300_000
_ADDRESSES = 100_000
_WORK = ("load", "enrich")


def main() -> int:
    """Print, for each database and work, the instructions without telemetry and what it adds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--scale", type=float, default=0.4, help="make all input so many times as large")
    parser.add_argument("--database", action="append", choices=DIALECTS, help="on this database only")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not installed, and counts the instructions", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        inputs = Inputs(folder, options.scale)
        with Databases(folder) as databases:
            for dialect in options.database or DIALECTS:
                for work in _WORK:
                    without, with_it = (
                        _instructions(folder, inputs, databases, dialect, work=work, telemetry=on)
                        for on in (False, True)
                    )
                    print(
                        f"{dialect} {work}: {without:,} instructions, telemetry {with_it / without - 1:+.2%}",
                        flush=True,
                    )
    return 0


def _instructions(
    folder: Path, inputs: Inputs, databases: Databases, dialect: str, *, work: str, telemetry: bool
) -> int:
    """Count those of a work, without those of starting up, which end before the clock of the figures starts."""
    with (
        databases.fresh(dialect) as url,
        served_elsewhere(take_telemetry, delay_seconds=0) as collector,
    ):
        common: dict[str, Any] = {"url": url, "counts": telemetry, "collector": collector.url if telemetry else None}
        starting = _count(folder, "set_up", common)
        if work == "load":
            return _count(folder, work, common | {"logs": str(inputs.logs(_EVENTS))}) - starting
        run_task("load", url=url, logs=str(inputs.visits(_ADDRESSES)))
        asking = {"geoip": str(inputs.geoip), "resolver": None, "max_in_flight": 1}
        return _count(folder, work, common | asking) - starting


def _count(folder: Path, task: str, arguments: dict[str, Any]) -> int:
    """Run a task beneath valgrind, and add up what its processes did.

    Raises:
        MeasureError: the task failed.
    """
    with tempfile.TemporaryDirectory(dir=folder) as counts:
        counting = ["valgrind", "-q", "--tool=cachegrind", "--cache-sim=no", "--trace-children=yes"]
        command = [*counting, f"--cachegrind-out-file={counts}/%p", *task_command(task), json.dumps(arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MeasureError(f"{task} ended with {done.returncode}: {done.stderr[-2000:]}")
        return sum(_total(path) for path in Path(counts).iterdir())


def _total(path: Path) -> int:
    """Return the instructions of a process, which the last line of its file tells."""
    name, _, numbers = path.read_text(encoding="utf-8", errors="replace").rstrip().rpartition("\n")[2].partition(" ")
    if name != "summary:":
        raise MeasureError(f"expected a summary at the end of what valgrind wrote, found {name!r}")
    return int(numbers.split()[0])


if __name__ == "__main__":
    sys.exit(main())
