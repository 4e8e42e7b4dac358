"""The page of attacks as a browser shows it: from a file, offline, on a phone and in the dark."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cowrie_pipeline.steps.attack_page import write_page
from cowrie_pipeline_tests.browser.chromium import Browser
from cowrie_pipeline_tests.steps.test_attack_page import HOSTILE, made_report


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 1600), (390, 844)], ids=["desktop", "phone"])
def test_the_page_is_readable(
    browser: Browser, tmp_path: Path, keep_screenshot: Callable[[str], None], size: tuple[int, int], dark: bool
) -> None:
    browser.look(width=size[0], height=size[1], dark=dark)
    browser.open(write_page(made_report("Example Hosting"), tmp_path / "page.html").as_uri())
    assert browser.errors == []
    # the style sheet was let through by the policy that holds its hash
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(18, 21, 27)" if dark else "rgb(244, 245, 248)")
    # tables scroll for themselves, the page does not
    assert browser.evaluate("document.documentElement.scrollWidth") <= size[0]
    # under each picture a table, and each picture has a name
    assert browser.evaluate("document.querySelectorAll('svg.chart').length") >= 8
    assert browser.evaluate(
        "[...document.querySelectorAll('svg.chart')].every(each => each.querySelector('title').textContent"
        " && each.querySelector('desc').textContent && each.nextElementSibling.querySelector('table'))"
    )
    # no label of a bar is cut, and a text can be told from its ground
    assert browser.evaluate("[...document.querySelectorAll('svg.chart text')].every(each => each.getBBox().x >= 0)")
    ink, card = (
        browser.evaluate(f"getComputedStyle(document.querySelector({selector!r})).{name}.match(/[0-9]+/g).map(Number)")
        for selector, name in (("svg.chart text.label", "fill"), ("section", "backgroundColor"))
    )
    assert abs(sum(ink) - sum(card)) > 300
    assert browser.evaluate("document.querySelector('svg.trend polyline').getBBox().width") > 10
    assert browser.evaluate("performance.getEntriesByType('resource').length") == 0
    keep_screenshot(f"page_{size[0]}_{'dark' if dark else 'light'}")


@pytest.mark.parametrize("text", HOSTILE)
def test_what_attackers_wrote_does_nothing(browser: Browser, tmp_path: Path, text: str) -> None:
    count = "document.querySelectorAll('*').length"
    browser.open(write_page(made_report(), tmp_path / "plain.html").as_uri())
    expected = browser.evaluate(count)
    browser.open(write_page(made_report(text), tmp_path / "hostile.html").as_uri())
    assert browser.errors == []
    assert browser.evaluate(count) == expected
    assert browser.evaluate("document.querySelectorAll('script, img, iframe, form').length") == 0


def test_the_policy_stops_a_script_even_if_one_came_into_the_page(browser: Browser, tmp_path: Path) -> None:
    path = write_page(made_report(), tmp_path / "page.html")
    path.write_text(path.read_text().replace("</main>", "<script>window.ran = true</script></main>"))
    browser.open(path.as_uri())
    assert browser.evaluate("window.ran") is None
    assert any("Content Security Policy" in each for each in browser.errors)
