"""A browser for all tests of this folder, which are skipped where none is installed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cowrie_pipeline_tests.browser.chromium import BROWSER, Browser, open_browser


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A tab of headless Chromium."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed: `apt-get install chromium` has these tests run")
    with open_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def keep_screenshot(browser: Browser, tmp_path: Path) -> Callable[[str], None]:
    """Keep what is seen, where COWRIE_TEST_SCREENSHOTS names a folder to look at it."""
    folder = Path(os.environ.get("COWRIE_TEST_SCREENSHOTS") or tmp_path)
    return lambda name: browser.screenshot(folder / f"{name}.png")
