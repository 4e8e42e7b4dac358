"""A Redis of one test's own on a free port of the loopback: it may be killed, and comes back with its data or none."""

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from time import monotonic, sleep

from cowrie_pipeline_tests.postgresql import free_port

PROGRAM = shutil.which("redis-server")
_PATIENCE_SECONDS = 60.0


class OwnRedis:
    """A server that writes down every command before it answers it."""

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="redis"))
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: int) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        assert PROGRAM is not None
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self._folder), "save": ""}
        options |= {"appendonly": "yes", "appendfsync": "always"}
        self._process = subprocess.Popen(
            [PROGRAM, *(part for name, value in options.items() for part in (f"--{name}", value))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = monotonic() + _PATIENCE_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "redis-server has ended"
            assert monotonic() < until, "redis-server does not answer"
            sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
            asked.settimeout(5)
            asked.sendall(b"PING\r\n")
            # it says that it is loading until it has read what it wrote down
            return asked.recv(64).startswith(b"+PONG")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """Remove what it wrote down, while it is not running."""
        assert self._process is None
        shutil.rmtree(self._folder)
        self._folder.mkdir()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder)
