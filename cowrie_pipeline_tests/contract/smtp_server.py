"""A mail server on loopback that keeps what it takes, and refuses as a test says.

It knows EHLO, STARTTLS, AUTH PLAIN, MAIL, RCPT, DATA, RSET and QUIT.
"""

import base64
import socketserver
import ssl
import threading
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Self


@dataclass(frozen=True)
class Mail:
    """A mail as it arrived."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    user: str | None
    was_encrypted: bool

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.content, policy=policy.default)

    @property
    def text(self) -> str:
        body = self.message.get_body(("plain",))
        assert body is not None
        return str(body.get_content())


@dataclass
class SmtpServer:
    """Listens on a free port until closed.

    `answers` are what commands get instead of what they ask for, such as `{"DATA": "451 later"}`; `users` are names
    and passwords, without which no log-in is offered or wanted; `tls` is offered by STARTTLS, or spoken from the
    beginning where `tls_at_once`.
    """

    answers: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    tls_at_once: bool = False
    mails: list[Mail] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, owner: SmtpServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not like our certificate is what some tests are about."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.owner = self.server.owner
        self.user: str | None = None
        self.encrypted = False
        self.sender = ""
        self.recipients: list[str] = []
        if self.owner.tls_at_once:
            self.encrypt()
        self.reply("220 loopback ready")
        while line := self.rfile.readline(4096):
            words = line.decode("utf-8", "replace").strip()
            verb = words.partition(" ")[0].upper()
            if verb in self.owner.answers:
                self.reply(self.owner.answers[verb])
                continue
            if not self.obey(verb, words):
                break

    def finish(self) -> None:
        super().finish()
        if self.encrypted:  # the server knows only the socket below
            self.rfile.close()
            self.wfile.close()
            self.request.close()

    def obey(self, verb: str, words: str) -> bool:
        if verb in {"EHLO", "HELO"}:
            self.greet()
        elif verb == "STARTTLS" and self.owner.tls is not None:
            self.reply("220 go ahead")
            self.encrypt()
        elif verb == "AUTH":
            self.authenticate(words)
        elif verb == "MAIL":
            self.sender, self.recipients = words.partition("<")[2].partition(">")[0], []
            self.reply("530 log in first" if self.owner.users and self.user is None else "250 ok")
        elif verb == "RCPT":
            self.recipients.append(words.partition("<")[2].partition(">")[0])
            self.reply("250 ok")
        elif verb == "DATA":
            self.take()
        elif verb == "QUIT":
            self.reply("221 bye")
            return False
        else:
            self.reply("250 ok" if verb in {"RSET", "NOOP"} else "502 unknown")
        return True

    def greet(self) -> None:
        offers = ["loopback"]
        if self.owner.tls is not None and not self.encrypted:
            offers.append("STARTTLS")
        if self.owner.users:
            offers.append("AUTH PLAIN")
        for offer in offers[:-1]:
            self.reply(f"250-{offer}")
        self.reply(f"250 {offers[-1]}")

    def authenticate(self, words: str) -> None:
        _, _, given = words.split(" ", 2)
        _, user, password = base64.b64decode(given).decode().split("\0")
        if self.owner.users.get(user) == password:
            self.user = user
            self.reply("235 welcome")
        else:
            # as some servers do: what was given is repeated
            self.reply(f"535 {user} cannot log in with {password}")

    def take(self) -> None:
        self.reply("354 go on")
        lines = []
        while (line := self.rfile.readline(65536)) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b"."))
        mail = Mail(self.sender, tuple(self.recipients), b"".join(lines), self.user, self.encrypted)
        self.owner.mails.append(mail)
        self.reply("250 taken")

    def encrypt(self) -> None:
        assert self.owner.tls is not None
        self.request = self.owner.tls.wrap_socket(self.request, server_side=True)
        self.rfile.close()
        self.wfile.close()
        self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", buffering=0)
        self.encrypted = True

    def reply(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
        self.wfile.flush()
