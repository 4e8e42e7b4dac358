"""No planted secret is in anything that a run writes, shows or sends to whom it does not belong."""

import base64
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from subprocess import PIPE, Popen
from urllib.parse import quote

import psutil
import pytest
from sqlalchemy import MetaData, create_engine, select
from sqlalchemy.engine import make_url

from cowrie_pipeline.settings import ReceiverSettings, ServiceSettings, Settings
from cowrie_pipeline_tests.cli.processes import PROJECT, SCRIPTS, TIMEOUT, environment
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.contract.http_server import Answer, Asked, HttpServer
from cowrie_pipeline_tests.contract.smtp_server import SmtpServer
from cowrie_pipeline_tests.security.hostile import DAY
from cowrie_pipeline_tests.steps.made_days import closed, command, connect, download, login, write_log

SERVICES = tuple(Settings.from_environment({}).services)
# what a thief would look for; each stands out, and none is a word of ours
SECRETS = {
    **{service: f"pl4nted-{service.replace('_', '-')}-k3y" for service in SERVICES},
    "maxmind": "pl4nted-maxmind-l1cence",
    "database": "pl4nted-database-pass",
    "chat": "pl4nted-chat-url",
    "phone": "pl4nted-phone-t0ken",
    "mail": "pl4nted-mail-pass",
    "collector": "pl4nted-collector-t0ken",
    "broker": "pl4nted-broker-pass",
    "backend": "pl4nted-backend-pass",
}
RECEIVERS = """
[[receiver]]
name = "chat"
kind = "slack"
url_env = "CHAT_URL"
[[receiver]]
name = "phone"
kind = "ntfy"
url = "{http}/topic"
token_file = "{folder}/secrets/phone"
[[receiver]]
name = "mail"
kind = "email"
host = "127.0.0.1"
port = {mail}
security = "none"
username = "cowrie"
password_file = "{folder}/secrets/mail"
from = "cowrie@example.org"
to = ["operator@example.org"]
"""
# A mistake in our own code, whose message shows everything that is at hand.
RAISING = """
from cowrie_pipeline.cli import main
from cowrie_pipeline.orchestration.assets import session_snapshots
from cowrie_pipeline.settings import Settings, read_receivers
from cowrie_pipeline.warehouse.engine import Warehouse

def fail(*arguments, **named):
    settings = Settings.from_environment()
    warehouse = Warehouse(settings.database_url)
    at_hand = (settings, settings.services, read_receivers(settings), warehouse, warehouse.safe_url, arguments, named)
    raise RuntimeError("a mistake with " + repr(at_hand))

session_snapshots.take_snapshots = fail
main.app()
"""


def repeat(asked: Asked) -> Answer:
    """Refuse as the worst of services would: with all that was sent, in the body and in headers."""
    statuses = (400, 401, 403, 404, 418, 422, 429, 500, 503, 200)
    said = f"{asked.method} {asked.path}?{asked.query} {dict(asked.headers)} {dict(asked.form)} {asked.body!r}"
    status = statuses[(len(asked.path) + len(asked.headers.get("user-agent", ""))) % len(statuses)]
    return Answer(status, said.encode(), "text/plain", headers={"X-You-Said": quote(said), "Retry-After": "1"})


class Listing:
    """Keeps the command lines of a process and of all its descendants, as any user of the machine can list them."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._done = threading.Event()

    @contextmanager
    def of(self, process: Popen[str]) -> Iterator[None]:
        thread = threading.Thread(target=self._look, args=(process.pid,))
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join(10)

    def _look(self, pid: int) -> None:
        while not self._done.wait(0.02):
            try:
                above = psutil.Process(pid)
                for each in (above, *above.children(recursive=True)):
                    self.seen.add("\0".join(each.cmdline()))
            except psutil.Error:
                continue


@dataclass
class World:
    """A folder with logs, servers that refuse everything, and the environment that names secrets."""

    folder: Path
    variables: dict[str, str]
    told: list[str]
    listing: Listing

    def run(self, *command: str | Path, code: set[int], **more: str) -> str:
        """Run a command to its end, keep what it says and how its processes are called, and return what it said."""
        process = Popen(
            [str(each) for each in command],
            cwd=self.folder,
            env=self.variables | more,
            stdout=PIPE,
            stderr=PIPE,
            text=True,
        )
        self.listing = Listing()
        with self.listing.of(process):
            out, err = process.communicate(timeout=TIMEOUT)
        self.told += [out, err, *self.listing.seen]
        assert process.returncode in code, out + err
        assert self.listing.seen
        return out + err


def planted(folder: Path, http: str, database_url: str) -> dict[str, str]:
    """Return an environment with every secret that there is: half of them in files."""
    (folder / "secrets").mkdir()
    for name, secret in SECRETS.items():
        (folder / "secrets" / name).write_text(f"{secret}\n", encoding="utf-8")
    url = make_url(database_url)
    if url.drivername.startswith("postgresql"):
        url = url.set(password=SECRETS["database"])
    variables: dict[str, str | Path] = {
        "COWRIE_OFFLINE": "false",
        "COWRIE_CYMRU_ENABLED": "false",
        "COWRIE_CONTACT": "operator@example.org",
        "COWRIE_LIMITED_MIN_WORTH": "0",
        "COWRIE_DB_URL": url.render_as_string(hide_password=False),
        "COWRIE_LOGS": folder / "logs",
        "COWRIE_MAXMIND_ACCOUNT_ID": "1",
        "COWRIE_MAXMIND_LICENSE_KEY_FILE": folder / "secrets" / "maxmind",
        "COWRIE_ALERTS_FILE": folder / "alerts.toml",
        "CHAT_URL": f"{http}/{SECRETS['chat']}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{http}/collector",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRETS['collector']}",
        # nobody connects to them here: end_to_end/test_one_worker.py looks at who does
        "COWRIE_CELERY_BROKER": f"redis://:{SECRETS['broker']}@127.0.0.1:1/0",
        "COWRIE_CELERY_BACKEND": f"redis://:{SECRETS['backend']}@127.0.0.1:1/1",
    }
    for number, service in enumerate(SERVICES):
        prefix = f"COWRIE_{service.upper()}"
        variables[f"{prefix}_ENABLED"] = "true"
        variables[f"{prefix}_URL"] = f"{http}/{service}"
        if number % 2:
            variables[f"{prefix}_KEY_FILE"] = folder / "secrets" / service
        else:
            variables[f"{prefix}_KEY"] = SECRETS[service]
    return environment(folder, **variables)


@pytest.fixture
def world(databases: Databases, database_url: str, tmp_path: Path) -> Iterator[World]:
    with HttpServer(repeat) as http, SmtpServer(users={"cowrie": "another"}) as mail:
        text = RECEIVERS.format(http=http.url, mail=mail.port, folder=tmp_path)
        (tmp_path / "alerts.toml").write_text(text, encoding="utf-8")
        of = {"src_ip": "45.83.64.7"}
        events = [
            connect(f"{DAY} 10:00:00", **of),
            login(f"{DAY} 10:00:01", succeeded=True, password="hunter2", **of),
            command(f"{DAY} 10:00:02", "uname -a", **of),
            download(f"{DAY} 10:00:03", "ab" * 32, **of),
            closed(f"{DAY} 10:00:04", **of),
        ]
        write_log(tmp_path / "logs" / "cowrie.json", events)
        made = World(tmp_path, planted(tmp_path, http.url, database_url), [], Listing())
        yield made
        asked = [f"{each.path} {dict(each.headers)} {each.form}" for each in http.asked]
    # the planted keys were really in use: each service that wants one was sent it
    assert any(SECRETS["greynoise"] in each for each in asked)
    assert any(each.startswith("/collector/v1/") and SECRETS["collector"] in each for each in asked)


def forms_of(secret: str) -> set[bytes]:
    """Return a secret as it could be written."""
    plain = secret.encode()
    packed = {base64.b64encode(before + plain)[:-4] for before in (b"", b"cowrie:", b"1:", b"\0cowrie\0")}
    return {plain, plain[::-1], plain.hex().encode(), *packed}


def holders_of_secrets(world: World) -> list[tuple[str, str]]:
    """Return where a secret is, and which."""
    places: list[tuple[str, bytes]] = [(f"output {number}", text.encode()) for number, text in enumerate(world.told)]
    given = {world.folder / "secrets", world.folder / "alerts.toml"}
    left = [path for path in world.folder.rglob("*") if path.is_file() and not given & {path, path.parent}]
    places += [(str(path.relative_to(world.folder)), path.read_bytes()) for path in left]
    places += [(f"table {name}", text) for name, text in tables_of(world.variables)]
    return [
        (place, name)
        for place, content in places
        for name, secret in SECRETS.items()
        if any(form in content for form in forms_of(secret))
    ]


def tables_of(variables: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield every row of the database as it prints."""
    engine = create_engine(variables["COWRIE_DB_URL"])
    metadata = MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        for table in metadata.tables.values():
            yield table.name, repr(connection.execute(select(table)).all()).encode()
    engine.dispose()


def test_no_secret_is_in_anything_that_is_left_of_runs(world: World) -> None:
    """A run asks services that repeat what they are sent, fails by a mistake, and receivers refuse to hear of it."""
    program, python = SCRIPTS / "cowrie-pipeline", sys.executable
    enrich = ("-c", "from cowrie_pipeline.cli.enrich import app; app()")
    path = {"PYTHONPATH": str(PROJECT)}
    world.run(program, "run", code={0})
    world.run(program, "run", "--json", code={0, 1})
    told = world.run(python, "-c", RAISING, "run", code={1}, **path)
    assert "a mistake with" in told
    world.run(program, "alerts", "send", code={0, 1})
    told = world.run(program, "alerts", "test", code={1})
    assert "refused" in told
    for shown in (("status",), ("alerts", "list"), ("alerts", "list", "--json")):
        world.run(program, *shown, code={0})
    looked_up: tuple[tuple[str, ...], ...] = (
        ("sources", "--terms"),
        ("sources", "--json"),
        ("plan",),
        ("refresh", "--ips", "all", "--verbose"),
        ("passwords", "--verbose"),
        ("cache", "stats"),
    )
    for arguments in looked_up:
        world.run(python, *enrich, *arguments, code={0, 1}, **path)
    assert holders_of_secrets(world) == []


def test_no_secret_is_in_what_dagsters_own_processes_leave(world: World, tmp_path: Path) -> None:
    """Dagster's command line runs each step in a process of its own, and keeps what these print."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_bytes((PROJECT / "dagster.yaml").read_bytes())
    world.run(
        *(SCRIPTS / "dagster", "asset", "materialize", "-m", "cowrie_pipeline.definitions"),
        *("--select", "*", "--partition", DAY),
        code={0},
        DAGSTER_HOME=str(home),
        PYTHONPATH=str(PROJECT),
    )
    assert list((tmp_path / "var").rglob("runs.db"))
    assert holders_of_secrets(world) == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://cowrie:{secret}@127.0.0.1:1/none",
        "postgresql+psycopg://cowrie:{secret}@127.0.0.1:port/none",
        "postgresql://cowrie:{secret}@127.0.0.1/none",
        "nothing+known://cowrie:{secret}@127.0.0.1/none",
        "postgresql+psycopg://127.0.0.1:1/none?user=cowrie&password={secret}",
        "cowrie:{secret}@127.0.0.1",
        "sqlite:///{folder}/none/{secret}?x=y",
    ],
)
def test_a_database_that_is_not_reached_is_told_without_its_password(url: str, tmp_path: Path) -> None:
    secret = SECRETS["database"]
    variables = environment(tmp_path, COWRIE_DB_URL=url.format(secret=secret, folder=tmp_path))
    program = SCRIPTS / "cowrie-pipeline"
    for arguments in (("status",), ("run", "--logs", str(tmp_path)), ("db", "upgrade")):
        process = Popen([program, *arguments], cwd=tmp_path, env=variables, stdout=PIPE, stderr=PIPE, text=True)
        out, err = process.communicate(timeout=TIMEOUT)
        assert process.returncode in {0, 1, 2}
        # the name of a file is no password
        assert url.startswith("sqlite") or secret not in out + err, arguments


def test_every_setting_that_is_a_secret_is_planted_or_known_here() -> None:
    """A new secret has to be thought of."""
    assert _secrets(Settings, "variable") == {
        "COWRIE_CELERY_BACKEND",
        "COWRIE_CELERY_BROKER",
        "COWRIE_DB_URL",
        "COWRIE_MAXMIND_LICENSE_KEY",
        "OTEL_EXPORTER_OTLP_HEADERS",
    }
    assert _secrets(ServiceSettings, "variable") == {"KEY"}
    assert {each.name for each in fields(ReceiverSettings) if not each.repr} == {"url", "token", "username", "password"}


def _secrets(kind: type[Settings | ServiceSettings], name: str) -> set[str]:
    return {each.metadata[name] for each in fields(kind) if each.metadata.get("secret")}
