"""A command run as by a person at a terminal: what comes to the screen, octet by octet."""

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["shown_on_terminal", "unseen_in"]


def shown_on_terminal(command: Sequence[str | Path], folder: Path, variables: Mapping[str, str]) -> tuple[int, str]:
    """Run a command with a terminal as its output; return its exit code, and what came there."""
    ours, theirs = pty.openpty()
    # a terminal that knows no colours: whatever it is to obey is not from us
    environment = {**variables, "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "200"}
    with subprocess.Popen(
        [str(each) for each in command], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = bytearray()
        # Linux says EIO when the last who could write is gone
        while piece := _read(ours):
            shown += piece
    os.close(ours)
    return process.returncode, shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


def unseen_in(text: str) -> set[str]:
    """Return the characters of `text` that a terminal obeys or does not show, but for the ends of lines."""
    return {character for character in text if not character.isprintable()} - {"\n"}
