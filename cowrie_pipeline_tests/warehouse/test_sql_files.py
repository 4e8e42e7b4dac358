"""The statements in `sql/`: found by name, read with their headers, one for each database where they differ."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowrie_pipeline.warehouse import sql_files as module
from cowrie_pipeline.warehouse.sql_files import read_sql, sql_files

ROOT = Path(__file__).resolve().parents[2] / "sql"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of statements of our own."""
    monkeypatch.setattr(module, "_root", lambda: tmp_path)
    read_sql.cache_clear()
    yield tmp_path
    read_sql.cache_clear()


def test_a_header_goes_over_several_lines_and_ends_where_the_statement_begins(folder: Path) -> None:
    (folder / "one.sql").write_text(
        "-- title: A title: with a colon\n-- remedy: First line,\n--   second line.\n--\n-- prose\n"
        "SELECT 1 -- title: not a header\n-- a comment\nFROM x;\n"
    )
    found = read_sql("one", "sqlite")
    assert found.header["title"] == "A title: with a colon"
    assert found.header["remedy"].startswith("First line, second line.")
    assert found.statement == "SELECT 1 -- title: not a header\nFROM x"


def test_each_database_gets_its_own_statement_where_there_is_one(folder: Path) -> None:
    (folder / "one.sql").write_text("SELECT 1")
    (folder / "one.postgresql.sql").write_text("SELECT 2")
    assert read_sql("one", "sqlite").statement == "SELECT 1"
    assert read_sql("one", "postgresql").statement == "SELECT 2"


def test_a_statement_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.sql"):
        read_sql("nothing", "sqlite")


def test_a_part_stands_in_each_statement_with_the_words_that_it_names(folder: Path) -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "most.sql").write_text("-- title: Most\nSELECT {count}, '{name}' FROM {table};\n")
    (folder / "one.sql").write_text("SELECT a #> '{a,b}' FROM ({parts/most count=logins table=days}) AS most")
    assert read_sql("one", "sqlite").statement == (
        "SELECT a #> '{a,b}' FROM (SELECT logins, '{name}' FROM days) AS most"
    )


def test_a_folder_names_each_statement_once(folder: Path) -> None:
    (folder / "some").mkdir()
    for name in ("b.sql", "a.sql", "a.postgresql.sql", "notes.txt"):
        (folder / "some" / name).touch()
    assert sql_files("some") == ["some/a", "some/b"]


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/*.sql")), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_statement_says_what_it_is_and_is_one_statement(path: Path) -> None:
    name, _, dialect = path.relative_to(ROOT).as_posix().removesuffix(".sql").partition(".")
    found = read_sql(name, dialect or "sqlite")
    assert found.header.get("title")
    assert found.statement
    assert ";" not in re.sub(r"--.*", "", found.statement)
    if dialect:
        assert (ROOT / f"{name}.sql").exists(), "the other database has no such statement"


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/*.postgresql.sql")), ids=lambda path: path.name)
def test_both_variants_of_a_statement_have_the_same_header(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix().removesuffix(".postgresql.sql")
    headers = [read_sql(name, dialect).header for dialect in ("sqlite", "postgresql")]
    keys = ("title", "asset", "severity", "blocks", "remedy")
    assert [headers[0].get(key) for key in keys] == [headers[1].get(key) for key in keys]
