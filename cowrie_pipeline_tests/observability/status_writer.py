"""A process that writes status files: `python -m ... FOLDER NAME WORKS [hold]`.

It does WORKS works of the phase that all share and as many of one of its own; with `hold` it then begins one more, says
so, and waits to be killed.
"""

import sys
from datetime import date
from pathlib import Path
from time import sleep

from cowrie_pipeline.observability.status_files import Days, StatusBoard, note_progress, shown, shown_on


def main(folder: str, name: str, works: str, *hold: str) -> None:
    """Write."""
    board = StatusBoard(Path(folder), f"run-{name}", every_seconds=0)
    days = Days(date(2026, 3, 1), date(2026, 3, 2))
    with shown_on(board):
        for n in range(int(works)):
            for phase in ("shared", f"own_{name}"):
                with shown(phase, days) as work:
                    note_progress(1, 2)
                    work.counts = {"n": n, "writer": name}
        if hold:
            with shown("held", days):
                note_progress(3, 9)
                sys.stdout.write("holding\n")
                sys.stdout.flush()
                sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
