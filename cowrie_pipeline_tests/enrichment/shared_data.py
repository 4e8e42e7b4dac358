"""Where the data lies that the project does not ship, and how a test is skipped without it."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def shared_folder(name: str) -> Path:
    """Return a folder of the shared data, or skip the test."""
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return folder
