"""A whois server on loopback that speaks Team Cymru's bulk mode, and fails as such servers do."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

GREETING = "Bulk mode; whois.cymru.com [2026-03-01 12:00:00 +0000]"


@dataclass
class Behaviour:
    """What the server does. `lines_of` gives the lines about one address, in the order in which they are sent."""

    lines_of: Callable[[str], list[str]] = lambda _address: []
    greeting: str = GREETING
    cut_after: int | None = None  # so many octets, and then the connection ends
    reset: bool = False  # it ends by a reset
    is_silent: bool = False
    closes_at_once: bool = False
    answers_while_reading: bool = False
    floods: bool = False


class WhoisServer:
    """Holds conversations on one free port, each in a thread of its own, until closed."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.asked: list[list[str]] = []
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._talks: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in [self._thread, *self._talks]:
            thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._stopping.is_set():
                connection, _ = self._listener.accept()
                talk = threading.Thread(target=self._talk, args=(connection,), daemon=True)
                self._talks.append(talk)
                talk.start()

    def _talk(self, connection: socket.socket) -> None:
        behaviour = self.behaviour
        # Whoever asked may have gone away.
        with connection, contextlib.suppress(OSError):
            addresses: list[str] = []
            self.asked.append(addresses)
            if behaviour.closes_at_once:
                return
            connection.settimeout(10)
            with (
                connection.makefile("r", encoding="ascii", newline="\n") as questions,
                connection.makefile("w", encoding="ascii", newline="\n") as stream,
            ):
                assert questions.readline() == "begin\n"
                assert questions.readline() == "verbose\n"
                if behaviour.answers_while_reading:
                    stream.write(f"{behaviour.greeting}\n")
                for line in questions:
                    if line == "end\n":
                        break
                    addresses.append(line.rstrip("\n"))
                    if behaviour.answers_while_reading:
                        stream.write("".join(f"{each}\n" for each in behaviour.lines_of(addresses[-1])))
                        stream.flush()
                if behaviour.is_silent:
                    self._stopping.wait(10)
                    return
                while behaviour.floods:
                    stream.write("more | and | more\n" * 1000)
                if behaviour.answers_while_reading:
                    return
                lines = [behaviour.greeting, *(each for one in addresses for each in behaviour.lines_of(one))]
                reply = "".join(f"{line}\n" for line in lines)
                stream.write(reply[: behaviour.cut_after])
                stream.flush()
            if behaviour.reset:
                # With no time to linger a close is a reset, which must not overtake what was sent.
                threading.Event().wait(0.2)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
