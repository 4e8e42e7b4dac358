"""Each kind of receiver, asked over loopback: what arrives, and what its refusal means."""

import json
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from cowrie_pipeline.enrichment.http_client import HttpClient
from cowrie_pipeline.settings import ReceiverSettings
from cowrie_pipeline.steps.alerts.message import Message, message_of
from cowrie_pipeline.steps.alerts.model import Announcement, Incident, Moment, Part
from cowrie_pipeline.steps.alerts.receivers import DeliveryError, http_client, send
from cowrie_pipeline_tests.contract.http_server import Answer, Asked, HttpServer
from cowrie_pipeline_tests.contract.smtp_server import SmtpServer
from cowrie_pipeline_tests.steps.alerts.made import at, days, trouble

HOSTILE = '<script>alert(1)</script> <!channel> @here `x` *b* [l](http://evil.example) &amp; "q"'


def message(moment: Moment = Moment.OPENED, title: str | None = None, **changes: Any) -> Message:
    about = replace(trouble(), **changes)
    if title is not None:
        about = replace(about, title=title)
    incident = Incident(
        incident_id="f" * 32,
        fingerprint="check:a",
        trouble=about,
        parts=(Part("check:a", days(0, 4), at(1)),),
        all_days=(days(0, 4),),
        opened_at=at(1),
        seen_at=at(1),
        announced_at=at(2),
        closed_at=at(9) if moment is Moment.OVER else None,
    )
    return message_of(Announcement(moment, incident), "https://dagster.example.org/")


@pytest.fixture
def client() -> Iterator[HttpClient]:
    with http_client() as made:
        yield made


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(lambda _: Answer(200, b"ok", "text/plain")) as made:
        yield made


def sent(server: HttpServer) -> tuple[Asked, dict[str, Any]]:
    (asked,) = server.asked
    return asked, json.loads(asked.body)


def mail_to(server: SmtpServer, **changes: Any) -> ReceiverSettings:
    receiver = ReceiverSettings(
        name="mail",
        kind="email",
        host="127.0.0.1",
        port=server.port,
        security="none",
        sender="cowrie@example.org",
        to=("a@example.org", "b@example.org"),
    )
    return replace(receiver, **changes)


def test_a_webhook_gets_everything_as_data(server: HttpServer, client: HttpClient) -> None:
    receiver = ReceiverSettings(name="hook", kind="webhook", url=f"{server.url}/hooks/s3cret/", token="t0ken")
    said = send(receiver, message(), client, delivery_id="id-1")
    asked, body = sent(server)
    assert said.startswith("HTTP 200")
    assert (asked.method, asked.path) == ("POST", "/hooks/s3cret/")
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["authorization"] == "Bearer t0ken"
    assert asked.headers["idempotency-key"] == body["delivery_id"] == "id-1"
    assert (body["event"], body["severity"], body["kind"]) == ("opened", "error", "check")
    assert body["days"] == [["2026-10-01", "2026-10-05"]]
    assert body["rows"] == [["2026-10-01", "(not shown)"]]
    assert body["what_to_do"] == "Materialize the days shown again."
    assert body["run_url"] == "https://dagster.example.org/runs/0123-run"
    assert body["assets"] == ["raw_sessions"]


def test_a_chat_gets_a_text_that_says_what_where_how_bad_and_what_to_do(server: HttpServer, client: HttpClient) -> None:
    send(
        ReceiverSettings(name="chat", kind="slack", url=f"{server.url}/services/T/B/X"),
        message(),
        client,
        delivery_id="id-0",
    )
    _, body = sent(server)
    for words in (
        "[cowrie ERROR] check session_counts of raw_sessions failed",
        "days: 2026-10-01 to 2026-10-05 (5 days)",
        "rows at fault: 3",
        "day         username",
        "2026-10-01  (not shown)",
        "Materialize the days shown again.",
        "https://dagster.example.org/runs/0123-run",
    ):
        assert words in body["text"]
    assert body["mrkdwn"] is False


def test_ntfy_gets_topic_title_priority_and_the_link(server: HttpServer, client: HttpClient) -> None:
    receiver = ReceiverSettings(name="phone", kind="ntfy", url=f"{server.url}/honeypot", token="tk_1")
    send(receiver, message(), client, delivery_id="id-0")
    asked, body = sent(server)
    assert (asked.path, body["topic"], body["priority"]) == ("/", "honeypot", 4)
    assert body["title"].startswith("[cowrie ERROR] check")
    assert body["click"] == "https://dagster.example.org/runs/0123-run"
    assert "days: 2026-10-01 to 2026-10-05" in body["message"]
    assert "markdown" not in body
    assert asked.headers["authorization"] == "Bearer tk_1"


def test_ntfy_below_a_path_keeps_the_path(server: HttpServer, client: HttpClient) -> None:
    send(
        ReceiverSettings(name="p", kind="ntfy", url=f"{server.url}/push/honeypot"),
        message(),
        client,
        delivery_id="id-0",
    )
    asked, body = sent(server)
    assert (asked.path, body["topic"]) == ("/push/", "honeypot")


@pytest.mark.parametrize("kind", ["webhook", "slack", "ntfy"])
def test_that_it_is_over_reads_so(kind: str, server: HttpServer, client: HttpClient) -> None:
    send(ReceiverSettings(name="x", kind=kind, url=f"{server.url}/t"), message(Moment.OVER), client, delivery_id="id-0")
    _, body = sent(server)
    text = json.dumps(body)
    assert "[cowrie ok] over: check session_counts" in text
    assert "The check passes again." in text
    assert "2026-10-01" in text
    assert "until" in text


@pytest.mark.parametrize("kind", ["webhook", "slack", "ntfy"])
def test_nothing_becomes_markup(kind: str, server: HttpServer, client: HttpClient) -> None:
    hostile = message(title=HOSTILE, columns=("path",), rows=((f"```{HOSTILE}",),), facts=(("x", HOSTILE),))
    send(ReceiverSettings(name="x", kind=kind, url=f"{server.url}/t"), hostile, client, delivery_id="id-0")
    asked, body = sent(server)
    # whoever pastes the JSON into a page pastes no tag
    assert b"<" not in asked.body
    if kind == "slack":
        assert "<" not in body["text"]
        assert "@" not in body["text"]
        assert body["text"].count("`") == 6  # the two fences that are ours


@pytest.mark.parametrize(
    ("status", "is_down"),
    [(400, False), (413, False), (401, True), (404, True), (429, True), (500, True), (503, True)],
)
def test_a_refusal_is_of_the_message_or_of_the_receiver(status: int, is_down: bool, client: HttpClient) -> None:
    with HttpServer(lambda _: Answer(status, b"no", headers={"Retry-After": "77"})) as server:
        receiver = ReceiverSettings(name="x", kind="webhook", url=f"{server.url}/s3cret")
        with pytest.raises(DeliveryError) as caught:
            send(receiver, message(), client, delivery_id="id-0")
    assert caught.value.is_down is is_down
    assert caught.value.not_before is not None
    assert caught.value.not_before.total_seconds() == 77
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_would_lose_the_message_is_no_delivery(status: int, client: HttpClient) -> None:
    moved = Answer(status, headers={"Location": "/login"})
    with HttpServer(lambda asked: moved if asked.path == "/hook" else Answer(200)) as server:
        with pytest.raises(DeliveryError, match=str(status)):
            send(
                ReceiverSettings(name="x", kind="webhook", url=f"{server.url}/hook"),
                message(),
                client,
                delivery_id="id-0",
            )
        assert [each.path for each in server.asked] == ["/hook"]


def test_a_redirect_on_the_same_host_that_keeps_the_message_is_followed(client: HttpClient) -> None:
    moved = Answer(307, headers={"Location": "/new"})
    with HttpServer(lambda asked: moved if asked.path == "/hook" else Answer(200)) as server:
        send(ReceiverSettings(name="x", kind="webhook", url=f"{server.url}/hook"), message(), client, delivery_id="i")
        assert [(each.method, each.path) for each in server.asked] == [("POST", "/hook"), ("POST", "/new")]
        assert server.asked[0].body == server.asked[1].body


def test_a_server_that_is_not_there_is_down(client: HttpClient) -> None:
    with HttpServer(lambda _: Answer(200)) as server:
        url = f"{server.url}/s3cret"
    with pytest.raises(DeliveryError, match="no connection") as caught:
        send(ReceiverSettings(name="x", kind="webhook", url=url), message(), client, delivery_id="id-0")
    assert caught.value.is_down
    assert "s3cret" not in str(caught.value)


def test_a_mail_is_plain_text_to_everybody(client: HttpClient) -> None:
    with SmtpServer() as server:
        send(mail_to(server), message(), client, delivery_id="id-1")
    (mail,) = server.mails
    assert (mail.sender, mail.recipients) == ("cowrie@example.org", ("a@example.org", "b@example.org"))
    assert mail.message["Subject"] == "[cowrie ERROR] check session_counts of raw_sessions failed"
    assert mail.message["Message-ID"] == "<id-1@cowrie-pipeline.invalid>"
    assert mail.message.get_content_type() == "text/plain"
    assert "days: 2026-10-01 to 2026-10-05 (5 days)" in mail.text
    assert "2026-10-01  (not shown)" in mail.text
    assert "Materialize the days shown again." in mail.text
    assert "https://dagster.example.org/runs/0123-run" in mail.text


def test_a_mail_has_no_markup_and_no_more_headers_than_ours(client: HttpClient) -> None:
    with SmtpServer() as server:
        send(mail_to(server), message(facts=(("x", HOSTILE),)), client, delivery_id="id-0")
    (mail,) = server.mails
    assert not mail.message.is_multipart()
    assert HOSTILE in mail.text


def test_a_server_with_users_gets_a_log_in(client: HttpClient) -> None:
    with SmtpServer(users={"me": "pa55word"}) as server:
        send(mail_to(server, username="me", password="pa55word"), message(), client, delivery_id="id-0")
        with pytest.raises(DeliveryError, match="refused") as caught:
            send(mail_to(server, username="me", password="wr0ng"), message(), client, delivery_id="id-0")
    assert [mail.user for mail in server.mails] == ["me"]
    # the server says both in its refusal
    assert "wr0ng" not in str(caught.value)
    assert "me cannot" not in str(caught.value)


@pytest.mark.parametrize(
    ("answers", "is_down"),
    [
        ({"RCPT": "550 nobody of that name"}, True),
        ({"DATA": "451 later"}, True),
        ({"MAIL": "552 too large"}, False),
        ({"EHLO": "421 closing", "HELO": "421 closing"}, True),
    ],
)
def test_a_mail_that_is_refused_is_not_delivered(answers: dict[str, str], is_down: bool, client: HttpClient) -> None:
    with SmtpServer(answers) as server, pytest.raises(DeliveryError) as caught:
        send(mail_to(server), message(), client, delivery_id="id-0")
    assert caught.value.is_down is is_down
    assert not server.mails


def test_no_mail_leaves_without_tls_where_it_is_wanted(client: HttpClient) -> None:
    with SmtpServer() as server, pytest.raises(DeliveryError, match="STARTTLS"):
        send(mail_to(server, security="starttls"), message(), client, delivery_id="id-0")
    assert not server.mails


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    openssl = which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, which makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=loopback"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.mark.parametrize("at_once", [False, True], ids=["starttls", "tls"])
def test_a_mail_goes_encrypted_to_a_server_that_is_who_it_says(
    at_once: bool, certificate: tuple[Path, Path], client: HttpClient
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    with SmtpServer(tls=tls, tls_at_once=at_once, users={"me": "pa55word"}) as server:
        receiver = mail_to(server, security="tls" if at_once else "starttls", username="me", password="pa55word")
        with pytest.raises(DeliveryError, match="no TLS"):
            send(receiver, message(), client, delivery_id="id-0")
        assert not server.mails
        send(replace(receiver, ca_file=certificate[0]), message(), client, delivery_id="id-0")
    (mail,) = server.mails
    assert (mail.was_encrypted, mail.user) == (True, "me")
