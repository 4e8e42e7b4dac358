"""Dagster's UI with our definitions, as an operator sees and uses it."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep

import pytest
from sqlalchemy import text

from cowrie_pipeline.cowrie.synthetic import SyntheticPlan, write_logs
from cowrie_pipeline.orchestration.build import build_definitions
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.attack_page import page_of_day
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline_tests.browser.chromium import Browser
from cowrie_pipeline_tests.browser.webserver import open_webserver
from cowrie_pipeline_tests.cli.processes import PROJECT, cowrie_pipeline

# the newest partition is the one that the UI offers first
TODAY = datetime.now(UTC).date()
DAY_BEFORE, YESTERDAY = TODAY - timedelta(days=2), TODAY - timedelta(days=1)
DOCS = "https://git.example.org/docs"
# the daemon looks for backfills every half minute
_RUN_SECONDS = 150
PLAN = SyntheticPlan(seed=5, first_day=DAY_BEFORE, days=3, sessions_per_day=40, addresses=15)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Path:
    """Three days that were materialized, and counts that no longer add up."""
    del browser  # without one there is nothing to prepare
    folder = tmp_path_factory.mktemp("ui")
    write_logs(PLAN, folder / "logs")
    (folder / "home").mkdir()
    shutil.copyfile(PROJECT / "dagster.yaml", folder / "home" / "dagster.yaml")
    variables: dict[str, str] = {"DAGSTER_HOME": str(folder / "home"), "COWRIE_DB_URL": f"sqlite:///{folder / 'ui.db'}"}
    done = cowrie_pipeline(folder, "run", "--logs", folder / "logs", **variables)
    assert done.returncode == 0, done.stderr + done.stdout
    warehouse = Warehouse(variables["COWRIE_DB_URL"])
    with warehouse.begin() as connection:
        day = {"day": str(DAY_BEFORE)}
        changed = connection.execute(
            text("UPDATE session_summaries SET event_count = event_count + 1 WHERE date(first_event_at) = :day"), day
        )
        assert changed.rowcount == PLAN.sessions_per_day
    warehouse.dispose()
    again = ("--from", str(DAY_BEFORE), "--to", str(DAY_BEFORE))
    variables["COWRIE_DOCS_URL"] = DOCS
    assert cowrie_pipeline(folder, "run", "--logs", folder / "logs", *again, **variables).returncode == 1
    return folder / "ui.db"


@pytest.fixture(scope="module")
def ui(database: Path) -> Iterator[str]:
    folder = database.parent
    with open_webserver(
        folder,
        DAGSTER_HOME=folder / "home",
        COWRIE_DB_URL=f"sqlite:///{database}",
        COWRIE_LOGS=folder / "logs",
        COWRIE_START_DATE=str(DAY_BEFORE),
        COWRIE_DOCS_URL=DOCS,
    ) as url:
        yield url


@pytest.fixture(autouse=True)
def desk(browser: Browser) -> None:
    """Sit before a screen of usual size."""
    browser.look(width=1500, height=1000)


def test_the_graph_shows_every_asset(browser: Browser, ui: str, keep_screenshot: Callable[[str], None]) -> None:
    graph = build_definitions(Settings()).resolve_asset_graph()
    groups: dict[str, list[str]] = {}
    for key in graph.get_all_asset_keys():
        groups.setdefault(graph.get(key).group_name, []).append(key.to_user_string())
    browser.open(f"{ui}/asset-groups")
    for group in groups:
        browser.wait_for_text(group)
    assert browser.errors == []
    keep_screenshot("ui_graph")
    for group, assets in groups.items():
        browser.open(f"{ui}/locations/cowrie_pipeline.definitions/asset-groups/{group}/lineage")
        for asset in assets:
            browser.wait_for_text(asset)
        assert browser.errors == []
        keep_screenshot(f"ui_graph_{group}")


@pytest.mark.parametrize(
    ("asset", "shown"),
    [
        ("raw_sessions", "sessions_by_day_plot"),
        ("session_snapshots", "coverage_of_snapshot_asn"),
        ("attack_report", f"attack_report_{YESTERDAY}.html"),
    ],
)
def test_a_partition_shows_its_numbers_and_a_picture(
    browser: Browser, ui: str, asset: str, shown: str, keep_screenshot: Callable[[str], None]
) -> None:
    browser.open(f"{ui}/assets/{asset}?view=partitions&partition={YESTERDAY}")
    browser.wait_for_text(shown)
    browser.wait_for_text("seconds")
    browser.click("a, button", "[Show Markdown]")
    browser.wait_for("[...document.querySelectorAll('img[src^=\"data:image/svg\"]')].some(each => each.naturalWidth)")
    assert browser.errors == []
    keep_screenshot(f"ui_{asset}")


def test_a_check_that_failed_is_red_and_shows_the_rows_at_fault(
    browser: Browser, ui: str, keep_screenshot: Callable[[str], None]
) -> None:
    browser.open(f"{ui}/assets/raw_sessions?view=checks&checkDetail=session_counts")
    browser.wait_for_text("first_rows")
    for said in ("Failed", "rows_at_fault", str(PLAN.sessions_per_day), "what_to_do"):
        browser.wait_for_text(said)
    red = """
    [...document.querySelectorAll('*')].filter(each => each.textContent.trim() === 'Failed').some(each => {
      const [red, green, blue] = getComputedStyle(each).color.match(/[0-9.]+/g).map(Number);
      return red > 1.5 * green && red > 1.5 * blue;
    })
    """
    browser.wait_for(red)
    assert browser.evaluate("document.querySelectorAll('table').length") >= 1
    # of the check itself, and of what it found
    page = f"{DOCS}/checks/session_counts.md"
    assert browser.evaluate(f"document.querySelectorAll('a[href=\"{page}\"]').length") >= 2
    assert browser.errors == []
    keep_screenshot("ui_check")


@pytest.mark.parametrize("asset", ["asn_session_counts", "attack_report"])
def test_an_asset_shows_who_owns_it_and_links_to_what_is_written_of_it(
    browser: Browser, ui: str, asset: str, keep_screenshot: Callable[[str], None]
) -> None:
    browser.open(f"{ui}/assets/{asset}?view=overview")
    browser.wait_for_text("honeypot")
    browser.wait_for(f"document.querySelectorAll('a[href^=\"{DOCS}\"]').length > 0")
    assert browser.errors == []
    keep_screenshot(f"ui_overview_{asset}")


def test_a_partition_is_materialized_by_clicking(
    browser: Browser, ui: str, database: Path, keep_screenshot: Callable[[str], None]
) -> None:
    page = page_of_day(database.parent / "var" / "reports", TODAY)
    page.unlink()
    browser.open(f"{ui}/assets/attack_report")
    browser.click("button", "Materialize")
    # the dialog may be there before it knows of any partition, and then takes none
    until = monotonic() + _RUN_SECONDS
    while not browser.evaluate(r"/\b1 partition\b/.test(document.body.innerText)"):
        assert monotonic() < until, f"the latest partition could not be chosen within {_RUN_SECONDS} s"
        browser.click("[role=dialog] button, .dagster-dialog button", "Latest")
        sleep(0.5)
    keep_screenshot("ui_dialog")
    browser.click("[role=dialog] button, .dagster-dialog button", "Launch")
    until = monotonic() + _RUN_SECONDS
    while not page.exists():
        assert monotonic() < until, f"{page.name} was not made within {_RUN_SECONDS} s"
        sleep(0.5)
    keep_screenshot("ui_launched")
    browser.open(page.as_uri())
    assert browser.errors == []
    browser.wait_for_text(f"Attacks of {TODAY}")
