"""docs/security.md: each threat has a defence and a test, and both are there."""

import ast
import re
from pathlib import Path

import pytest

from cowrie_pipeline_tests.cli.processes import PROJECT

PAGE = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| threat")
]
TESTS = PROJECT / "cowrie_pipeline_tests"
PACKAGE = PROJECT / "cowrie_pipeline"
# what runs text, and where it may
RUNNING = {"system", "popen", "eval", "exec", "Popen", "execv", "execve", "spawnv", "posix_spawn"}
ALLOWED = {("cli/demo.py", "execv"), ("warehouse/backup.py", "subprocess"), ("warehouse/backup.py", "Popen")}


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:60] for row in ROWS])
def test_every_threat_has_a_defence_and_tests_that_exist(row: list[str]) -> None:
    threat, defence, tests = row
    assert threat
    assert defence
    named = re.findall(r"`([^`]+)`", tests)
    assert named
    for each in named:
        path, _, name = each.partition("::")
        source = (TESTS / path).read_text(encoding="utf-8")
        assert re.search(rf"^def {name or 'test_'}", source, re.MULTILINE), each


def test_every_module_and_file_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|/))`", PAGE)) | set(re.findall(r"\]\(\.\./([^)]+)\)", PAGE))
    assert len(named) > 20
    places = (PROJECT, PACKAGE, TESTS)
    assert [name for name in sorted(named) if not any((place / name).exists() for place in places)] == []


def test_no_module_starts_a_shell_or_runs_text() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                function = node.func
                name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
                if name in RUNNING or any(keyword.arg == "shell" for keyword in node.keywords):
                    found.add((str(path.relative_to(PACKAGE)), name))
            elif isinstance(node, ast.Import | ast.ImportFrom):
                modules = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
                found |= {(str(path.relative_to(PACKAGE)), each) for each in modules & {"subprocess", "pickle", "pty"}}
    assert found <= ALLOWED, found


def test_every_command_of_the_page_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z]+)`", PAGE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert Path(PROJECT / "constraints.txt").exists()
