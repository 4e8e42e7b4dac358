"""Who can reach what: the UI listens on this machine alone, and the documented proxy lets nobody in unasked."""

import base64
import http.client
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from cowrie_pipeline_tests.cli.processes import PROJECT, start
from cowrie_pipeline_tests.contract.http_server import Answer, Asked, HttpServer
from cowrie_pipeline_tests.postgresql import free_port

PROXY = PROJECT / "deploy" / "reverse-proxy" / "nginx.conf"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
needs_nginx = pytest.mark.skipif(
    not Path(NGINX).exists() or shutil.which("openssl") is None, reason="needs nginx and openssl (Debian: nginx-light)"
)
# of `openssl passwd`, for users that are made here
USER, PASSWORD, SCRAPER = "alice", "only-for-this-test", "prometheus"
LOOPBACK = ("127.", "::1")


def listening(process: psutil.Process) -> set[str]:
    """Return the addresses on which a process and its descendants wait for connections."""
    found = set()
    for each in (process, *process.children(recursive=True)):
        try:
            sockets = each.net_connections("inet")
        except psutil.Error:
            continue
        found |= {f"{each.laddr.ip}:{each.laddr.port}" for each in sockets if each.status == psutil.CONN_LISTEN}
    return found


def test_the_ui_and_all_it_starts_listen_on_this_machine_alone(tmp_path: Path) -> None:
    port = free_port()
    started = start(tmp_path, "ui", "--port", str(port))
    process = psutil.Process(started.pid)
    seen: set[str] = set()
    try:
        deadline = time.monotonic() + 120
        while f"127.0.0.1:{port}" not in seen and started.poll() is None and time.monotonic() < deadline:
            seen |= listening(process)
            time.sleep(0.2)
        seen |= listening(process)
    finally:
        descendants = process.children(recursive=True)
        started.send_signal(signal.SIGINT)
        try:
            started.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            started.kill()
        for each in descendants:
            if each.is_running():
                each.terminate()
    assert f"127.0.0.1:{port}" in seen
    assert [address for address in seen if not address.startswith(LOOPBACK)] == []


def proxied(folder: Path, ui: int, metrics: int) -> tuple[Path, int, int]:
    """Write the documented set-up with our own files and ports; return it, and where it listens."""
    plain, encrypted = free_port(), free_port()
    text = PROXY.read_text(encoding="utf-8")
    for before, after in (
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{encrypted} ssl;"),
        ("/etc/ssl/certs/dagster.example.org.pem", str(folder / "cert.pem")),
        ("/etc/ssl/private/dagster.example.org.key", str(folder / "key.pem")),
        ("/etc/nginx/cowrie-users", str(folder / "users")),
        ("/etc/nginx/cowrie-scrapers", str(folder / "scrapers")),
        ("http://127.0.0.1:3000", f"http://127.0.0.1:{ui}"),
        ("http://127.0.0.1:9464", f"http://127.0.0.1:{metrics}"),
    ):
        assert before in text, before
        text = text.replace(before, after)
    assert "/etc/" not in re.sub(r"#.*", "", text)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    digest = subprocess.run(
        ["openssl", "passwd", "-apr1", "-stdin"], input=PASSWORD, check=True, capture_output=True, text=True
    ).stdout.strip()
    (folder / "users").write_text(f"{USER}:{digest}\n", encoding="utf-8")
    (folder / "scrapers").write_text(f"{SCRAPER}:{digest}\n", encoding="utf-8")
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off;\nuser root;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{text}}}\n",
        encoding="utf-8",
    )
    return path, plain, encrypted


@contextmanager
def nginx(path: Path, port: int) -> Iterator[None]:
    with subprocess.Popen([NGINX, "-c", str(path)], stderr=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and process.poll() is None:
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(30)


def ask(port: int, path: str, user: str | None = None, password: str = PASSWORD) -> tuple[int, str]:
    """Ask the proxy; return the status, and the body."""
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=unverified)
    given = {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()} if user else {}
    connection.request("GET", path, headers=given)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def _well(asked: Asked) -> Answer:
    return Answer(200, asked.path.encode())


@needs_nginx
def test_the_documented_proxy_is_valid_and_lets_nobody_in_without_a_log_in(tmp_path: Path) -> None:
    with (
        HttpServer(lambda asked: Answer(200, f"ui {asked.path}".encode())) as ui,
        HttpServer(lambda _: Answer()) as scraped,
    ):
        path, plain, encrypted = proxied(tmp_path, ui.port, scraped.port)
        checked = subprocess.run([NGINX, "-t", "-c", str(path)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        with nginx(path, encrypted):
            for place in ("/", "/graphql", "/metrics", "/report_asset_materialization/x", "//", "/metrics/"):
                assert ask(encrypted, place)[0] == 401, place
                assert ask(encrypted, place, USER, "wrong")[0] == 401, place
            assert ask(encrypted, "/metrics", USER)[0] == 401
            assert (ui.asked, scraped.asked) == ([], [])
            assert ask(encrypted, "/runs", USER) == (200, "ui /runs")
            assert ask(encrypted, "/metrics", SCRAPER)[0] == 200
            assert ask(encrypted, "/runs", SCRAPER)[0] == 401
            connection = http.client.HTTPConnection("127.0.0.1", plain, timeout=30)
            connection.request("GET", "/runs")
            assert connection.getresponse().status == 301
            connection.close()
        # what is behind it is told neither who it is nor the password
        assert all("authorization" not in asked.headers for asked in (*ui.asked, *scraped.asked))
