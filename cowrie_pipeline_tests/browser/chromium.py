"""Headless Chromium, as somebody sits before it: pages are opened, looked at and clicked on.

It is driven over its own debugging protocol and one socket, so that neither a driver nor its version is needed beside
Debian's package. Nothing that it loads comes from outside this machine.
"""

import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from websockets.sync.client import ClientConnection, connect

__all__ = ["BROWSER", "Browser", "open_browser"]

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_SWITCHES = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-port=0",
    # no name but this machine's is looked up
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_PATIENCE_SECONDS = 60.0
# The text of an element and of what is in it, as one line; the innermost that matches is clicked.
_FIND = """
(selector, text) => [...document.querySelectorAll(selector)].filter(
  each => each.getClientRects().length && each.textContent.replace(/\\s+/g, ' ').trim().includes(text)
).sort((a, b) => a.textContent.length - b.textContent.length)[0]
"""


class Browser:
    """One tab. `errors` is what its console has said of errors since the last page was opened."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last_id = 0
        self._session: str | None = None
        self.errors: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Open a page; what its console says is collected anew."""
        self.errors.clear()
        failed = self._call("Page.navigate", url=url).get("errorText")
        assert failed is None, f"{url}: {failed}"
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """Return what JavaScript gives, as JSON can say it."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, f"{expression}: {found['exceptionDetails']}"
        return found["result"].get("value")

    def wait_for(self, expression: str, *, seconds: float = _PATIENCE_SECONDS) -> Any:
        """Return what JavaScript gives as soon as it is true."""
        until = monotonic() + seconds
        while not (found := self.evaluate(expression)):
            shown = self.evaluate("document.body ? document.body.innerText : ''")
            assert monotonic() < until, f"not so after {seconds:g} s: {expression}\n{shown[:3000]}"
            sleep(0.1)
        return found

    def wait_for_text(self, text: str, *, seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait until a text is on the page."""
        self.wait_for(f"document.body.innerText.includes({json.dumps(text)})", seconds=seconds)

    def click(self, selector: str, text: str) -> None:
        """Click, with the mouse, on the smallest element of a selector that has a text, as soon as it is there."""
        find = f"({_FIND})({json.dumps(selector)}, {json.dumps(text)})"
        self.wait_for(f"!!({find}) && !({find}).disabled")
        place = self.evaluate(
            f"(each => {{ each.scrollIntoView({{block: 'center'}}); const box = each.getBoundingClientRect();"
            f" return [box.x + box.width / 2, box.y + box.height / 2]; }})({find})"
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button: Mapping[str, Any] = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self._call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **button)

    def look(self, *, width: int, height: int, dark: bool = False) -> None:
        """Be a screen of a size, in units of CSS, that prefers light or dark."""
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        """Write what is seen as a PNG."""
        path.write_bytes(b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=_PATIENCE_SECONDS))
            if answer.get("id") == self._last_id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: Mapping[str, Any]) -> None:
        said = event.get("params", {})
        if event["method"] == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.errors.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        elif event["method"] == "Runtime.consoleAPICalled" and said["type"] == "error":
            self.errors.append(" ".join(str(each.get("value", each.get("description"))) for each in said["args"]))
        elif event["method"] == "Runtime.exceptionThrown":
            self.errors.append(str(said["exceptionDetails"]))


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """Start a browser that keeps everything in `folder`, and end it and all its processes."""
    assert BROWSER is not None
    # Chromium's sandbox does not work for root, as in a container
    sandbox = ("--no-sandbox",) if os.getuid() == 0 else ()
    with (folder / "chromium.log").open("w") as log:
        process = subprocess.Popen(
            [BROWSER, *_SWITCHES, *sandbox, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            stdout=log,
            stderr=log,
            env=os.environ | {"HOME": str(folder)},
        )
    try:
        with connect(_address(folder / "profile", process), max_size=None, proxy=None) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Return where the browser listens, as it writes once it does."""
    until = monotonic() + _PATIENCE_SECONDS
    written = profile / "DevToolsActivePort"
    while not (written.exists() and len(lines := written.read_text().splitlines()) == 2):
        assert process.poll() is None, f"Chromium ended: {(profile.parent / 'chromium.log').read_text()[-2000:]}"
        assert monotonic() < until, "Chromium does not listen"
        sleep(0.05)
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
