"""One message to one receiver: a webhook, a chat that takes Slack's webhooks, ntfy, or e-mail.

Nothing in a message becomes markup: JSON has `<`, `>` and `&` as escapes, chats get `&`, `<`, `>` as entities and rows
as preformatted text, ntfy and e-mail get plain text.

Belongs here: how each kind of receiver wants a message, and what its answer means.
Does not belong here: what is said (message.py), when it is sent again (delivery.py).
"""

import json
import smtplib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cowrie_pipeline.enrichment.clock import utc_now
from cowrie_pipeline.enrichment.http_client import HttpClient, HttpError, HttpRequest, Reply
from cowrie_pipeline.settings import ReceiverSettings
from cowrie_pipeline.steps.alerts.message import Message, table_of, text_of, title_of

__all__ = ["DeliveryError", "HttpClientFactory", "http_client", "send"]

_SECONDS = 15.0
_LONGEST_TEXT = 3500  # chats and ntfy cut texts of about 4000
_LONGEST_WAIT = timedelta(hours=24)
# The receiver answered, and what it does not take is this message.
_OF_MESSAGE = (400, 413, 422)
_SMTP_OF_MESSAGE = (552, 554)

HttpClientFactory = Callable[[], HttpClient]


@dataclass
class DeliveryError(Exception):
    """A message did not arrive.

    The text names neither URL nor password. `is_down` is whether other messages would fare the same; `not_before` how
    long the receiver asks to wait.
    """

    text: str
    is_down: bool = True
    not_before: timedelta | None = None

    def __str__(self) -> str:
        return self.text


def http_client() -> HttpClient:
    """Return a client for webhooks: it follows no redirect to another host, and does not wait long."""
    return HttpClient(pool_size=1, connect_seconds=5.0, read_seconds=_SECONDS, total_seconds=_SECONDS, max_bytes=65_536)


def send(receiver: ReceiverSettings, message: Message, client: HttpClient, *, delivery_id: str) -> str:
    """Send a message; return what the receiver said.

    Args:
        receiver: to whom.
        message: as `message_of` makes it.
        client: for receivers that are asked by HTTP.
        delivery_id: the same each time that this message is sent, so that a receiver can see one sent twice.

    Raises:
        DeliveryError: it did not arrive.
    """
    if receiver.kind == "email":
        return _send_mail(receiver, message, delivery_id)
    url, body, headers = _HTTP[receiver.kind](receiver, message, delivery_id)
    if receiver.token is not None:
        headers = {**headers, "Authorization": f"Bearer {receiver.token}"}
    request = HttpRequest(
        # the client takes a slash at the end for none
        path="/" if url.endswith("/") else "",
        method="POST",
        body=_json(body),
        headers={"Content-Type": "application/json", **headers},
    )
    try:
        reply = client.send(url, request)
    except HttpError as error:
        raise DeliveryError(str(error)) from None
    if 200 <= reply.status < 300:
        return str(reply)
    raise DeliveryError(str(reply), is_down=reply.status not in _OF_MESSAGE, not_before=_retry_after(reply))


def _json(body: Mapping[str, Any]) -> bytes:
    # ASCII, and harmless also for who pastes it into a page
    text = json.dumps(body, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode("ascii")


def _retry_after(reply: Reply) -> timedelta | None:
    seconds = reply.headers.get("Retry-After", "")
    if not (seconds.isascii() and seconds.isdigit()):
        return None
    return min(timedelta(seconds=int(seconds[:9])), _LONGEST_WAIT)


def _webhook(
    receiver: ReceiverSettings, message: Message, delivery_id: str
) -> tuple[str, Mapping[str, Any], Mapping[str, str]]:
    text = {"subject": title_of(message), "text": text_of(message)}
    return receiver.url, {"delivery_id": delivery_id, **message, **text}, {"Idempotency-Key": delivery_id}


def _slack(
    receiver: ReceiverSettings, message: Message, delivery_id: str
) -> tuple[str, Mapping[str, Any], Mapping[str, str]]:
    del delivery_id
    plain = dict(message) | {"columns": [], "rows": []}
    text = f"{_chat_text(title_of(message))}\n{_chat_text(text_of(plain))}"
    table = "\n".join(table_of(message))
    if table:
        text += f"\n```\n{_chat_text(table)[:_LONGEST_TEXT]}\n```"
    # Slack formats nothing then; others leave the entities and the preformatted rows as they are
    return receiver.url, {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}, {}


def _chat_text(text: str) -> str:
    """Return text in which a chat finds no mention, link or format that we did not write."""
    for character, harmless in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("`", "'"), ("@", "(at)")):
        text = text.replace(character, harmless)
    return text


def _ntfy(
    receiver: ReceiverSettings, message: Message, delivery_id: str
) -> tuple[str, Mapping[str, Any], Mapping[str, str]]:
    del delivery_id
    parts = urlsplit(receiver.url)
    server, _, topic = parts.path.rstrip("/").rpartition("/")
    over = message["event"] == "over"
    body = {
        "topic": topic,
        "title": title_of(message),
        "message": text_of(message)[:_LONGEST_TEXT],
        "priority": 4 if message["severity"] == "error" and not over else 3,
        "tags": ["white_check_mark" if over else "rotating_light"],
    }
    if message["run_url"]:
        body["click"] = message["run_url"]
    return urlunsplit((parts.scheme, parts.netloc, f"{server}/", "", "")), body, {}


_HTTP: Mapping[str, Callable[[ReceiverSettings, Message, str], tuple[str, Mapping[str, Any], Mapping[str, str]]]] = {
    "webhook": _webhook,
    "slack": _slack,
    "ntfy": _ntfy,
}


def _mail_of(receiver: ReceiverSettings, message: Message, delivery_id: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = title_of(message)
    mail["From"] = receiver.sender
    mail["To"] = ", ".join(receiver.to)
    mail["Date"] = format_datetime(utc_now())
    # the same if it is sent again
    mail["Message-ID"] = f"<{delivery_id}@cowrie-pipeline.invalid>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text_of(message))
    return mail


def _send_mail(receiver: ReceiverSettings, message: Message, delivery_id: str) -> str:
    mail = _mail_of(receiver, message, delivery_id)
    try:
        with _mail_server(receiver) as server:
            if receiver.username is not None and receiver.password is not None:
                server.login(receiver.username, receiver.password)
            refused = server.send_message(mail, receiver.sender, list(receiver.to))
    except (smtplib.SMTPException, OSError) as error:
        raise _mail_error(receiver, error) from None
    if refused:
        return f"{receiver.host}: taken, but not for {len(refused)} of {len(receiver.to)} addresses"
    return f"{receiver.host}: taken"


def _mail_server(receiver: ReceiverSettings) -> smtplib.SMTP:
    """Open a connection, encrypted unless that is switched off."""
    trusted = ssl.create_default_context(cafile=receiver.ca_file) if receiver.security != "none" else None
    if receiver.security == "tls":
        return smtplib.SMTP_SSL(receiver.host, receiver.port, timeout=_SECONDS, context=trusted)
    server = smtplib.SMTP(receiver.host, receiver.port, timeout=_SECONDS)
    if trusted is not None:
        try:
            server.starttls(context=trusted)
        except BaseException:
            server.close()
            raise
    return server


def _mail_error(receiver: ReceiverSettings, error: Exception) -> DeliveryError:
    """Say what went wrong without the server's words, which may repeat what it was told."""
    words, is_down = f"no connection, or it broke ({type(error).__name__})", True
    if isinstance(error, smtplib.SMTPAuthenticationError):
        words = f"user name or password was refused ({error.smtp_code})"
    elif isinstance(error, smtplib.SMTPRecipientsRefused):
        words = "every address was refused"
    elif isinstance(error, smtplib.SMTPResponseException):
        words, is_down = f"answered {error.smtp_code}", error.smtp_code not in _SMTP_OF_MESSAGE
    elif isinstance(error, ssl.SSLError):
        words = "no TLS: its certificate or protocol was refused"
    elif isinstance(error, smtplib.SMTPNotSupportedError):
        words = "offers no STARTTLS or no log-in: set security as the server needs it"
    elif isinstance(error, TimeoutError):
        words = "no answer in time"
    return DeliveryError(f"{receiver.host}: {words}", is_down=is_down)
