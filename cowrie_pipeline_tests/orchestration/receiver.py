"""A receiver of alerts on loopback that keeps what it is told, and refuses it while it is down."""

import json
from typing import Any

from cowrie_pipeline_tests.contract.http_server import Answer, HttpServer


class Receiver(HttpServer):
    """A webhook; `status` is what it answers with, and what it refuses it was not told."""

    def __init__(self) -> None:
        self.status = 200
        self.told: list[dict[str, Any]] = []
        self.refused = 0
        super().__init__(lambda asked: self._take(asked.body))

    def _take(self, body: bytes) -> Answer:
        if self.status == 200:
            self.told.append(json.loads(body))
        else:
            self.refused += 1
        return Answer(self.status)

    @property
    def moments(self) -> list[tuple[str, str]]:
        return [(each["fingerprint"], each["event"]) for each in self.told]

    @property
    def toml(self) -> str:
        """What a file of COWRIE_ALERTS_FILE says to have it told."""
        return f'[[receiver]]\nname = "hook"\nkind = "webhook"\nurl = "{self.url}/hook"\n'
