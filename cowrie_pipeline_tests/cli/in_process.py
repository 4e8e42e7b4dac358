"""The command line within the tests' own process: for the many cases for which starting one would take too long."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from cowrie_pipeline.cli import enrich, main
from cowrie_pipeline_tests.cli.processes import environment


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@contextmanager
def only_environment(variables: dict[str, str]) -> Iterator[None]:
    """Have `variables` and nothing else in the environment, which commands write into."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def invoke(folder: Path, *arguments: str | Path, **variables: str | Path) -> Done:
    """Run `cowrie-pipeline` as if in `folder`, with no setting but `variables`; what it raises is raised."""
    return _invoke(main.app, folder, arguments, variables)


def invoke_enrich(folder: Path, *arguments: str | Path, **variables: str | Path) -> Done:
    """Run `cowrie-enrich` in the same way."""
    return _invoke(enrich.app, folder, arguments, variables)


def _invoke(
    app: typer.Typer, folder: Path, arguments: tuple[str | Path, ...], variables: dict[str, str | Path]
) -> Done:
    before = Path.cwd()
    os.chdir(folder)
    try:
        with only_environment(environment(folder, **variables)):
            result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    finally:
        os.chdir(before)
    return Done(result.exit_code, result.stdout, result.stderr)
