"""The statements in `sql/`, read once.

`name.postgresql.sql` stands beside `name.sql` where the two databases must differ. What several statements have in
common is a file of `sql/parts/`, and each names what differs, if anything does: `{parts/first_networks count=logins}`
stands for the statement of that file, in which `{count}` stands for `logins`.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cowrie_pipeline

__all__ = ["SqlFile", "read_sql", "sql_files"]

# not the braces of JSON, which hold no slash
_PART = re.compile(r"\{(parts/\w+)((?: \w+=\w+)*)\}")


@dataclass(frozen=True, slots=True)
class SqlFile:
    """One statement, the `-- key: value` lines of its header, and what follows them there after an empty line."""

    name: str
    header: dict[str, str]
    notes: str
    statement: str


@cache
def _root() -> Path:
    """Return the folder: inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(cowrie_pipeline.__file__).parent
    inside = package / "sql"
    return inside if inside.is_dir() else package.parent / "sql"


@cache
def read_sql(name: str, dialect: str) -> SqlFile:
    """Return the statement `name`, such as `transforms/roll_up_sessions`, for a dialect.

    Raises:
        FileNotFoundError: there is no such file.
    """
    special = _root() / f"{name}.{dialect}.sql"
    path = special if special.exists() else _root() / f"{name}.sql"
    header: dict[str, str] = {}
    notes: list[str] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    key, in_notes = "", False
    for line in lines:
        if not line.startswith("--"):
            break
        said = line[2:].strip()
        name_of, colon, value = said.partition(":")
        if in_notes or not said:
            in_notes = True
            notes.append(said)
        elif colon and name_of.isidentifier():
            key = name_of
            header[key] = value.strip()
        elif key:
            header[key] += " " + said
    statement = "\n".join(line for line in lines if not line.startswith("--")).strip().rstrip(";")
    whole = _PART.sub(lambda part: _read_part(part[1], part[2], dialect), statement)
    return SqlFile(name, header, " ".join(notes).strip(), whole)


def _read_part(name: str, words: str, dialect: str) -> str:
    statement = read_sql(name, dialect).statement
    for word, _, meant in (each.partition("=") for each in words.split()):
        statement = statement.replace(f"{{{word}}}", meant)
    return statement


def sql_files(folder: str) -> list[str]:
    """Return the names of all statements in a folder of `sql/`, sorted."""
    names = {path.name.split(".")[0] for path in (_root() / folder).glob("*.sql")}
    return [f"{folder}/{name}" for name in sorted(names)]
