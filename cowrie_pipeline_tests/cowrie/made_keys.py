"""SSH public keys made by hand, and the ways in which attackers wrap them."""

import base64
from collections.abc import Callable, Mapping

from hypothesis import strategies as st

_CURVES = {"nistp256": 32, "nistp384": 48, "nistp521": 66}


def field(content: bytes) -> bytes:
    return len(content).to_bytes(4) + content


def number(value: int) -> bytes:
    return field(value.to_bytes(value.bit_length() // 8 + 1))


def _line(key_type: str, *fields: bytes) -> str:
    return f"{key_type} {base64.b64encode(field(key_type.encode()) + b''.join(fields)).decode()}"


def rsa(modulus: int, exponent: int = 65537) -> str:
    return _line("ssh-rsa", number(exponent), number(modulus))


def ed25519(point: bytes) -> str:
    return _line("ssh-ed25519", field(point))


def ecdsa(curve: str, octets: bytes) -> str:
    return _line(f"ecdsa-sha2-{curve}", field(curve.encode()), field(b"\x04" + octets))


def _key_lines() -> st.SearchStrategy[str]:
    points = st.binary(min_size=32, max_size=32)
    return st.one_of(
        st.integers(1024, 4096).map(lambda bits: rsa((1 << (bits - 1)) | 1)),
        st.integers(1 << 1023, (1 << 1024) - 1).map(rsa),
        st.integers(1 << 1023, (1 << 1024) - 1).map(
            lambda p: _line("ssh-dss", number(p), number(5), number(7), number(11))
        ),
        points.map(ed25519),
        points.map(lambda point: _line("sk-ssh-ed25519@openssh.com", field(point), field(b"ssh:"))),
        points.map(
            lambda point: _line(
                "sk-ecdsa-sha2-nistp256@openssh.com", field(b"nistp256"), field(b"\x04" + point * 2), field(b"ssh:")
            )
        ),
        st.sampled_from(sorted(_CURVES)).flatmap(
            lambda curve: st.binary(min_size=2 * _CURVES[curve], max_size=2 * _CURVES[curve]).map(
                lambda octets: ecdsa(curve, octets)
            )
        ),
    )


KEYS = _key_lines()


def encoded(text: str, width: int = 0) -> str:
    packed = base64.b64encode(text.encode()).decode()
    return "\n".join(packed[at : at + width] for at in range(0, len(packed), width)) if width else packed


FILE = "~/.ssh/authorized_keys"
# From lines of authorized_keys to the commands that write them.
WRAPPINGS: Mapping[str, Callable[[str], list[str]]] = {
    "appended": lambda lines: [f'echo "{lines}" >> {FILE}'],
    "overwritten": lambda lines: [f"cd ~;mkdir .ssh;echo '{lines}'>{FILE};chmod 600 {FILE}"],
    "unquoted": lambda lines: [f"echo {line} >>{FILE}" for line in lines.split("\n")],
    "by a heredoc": lambda lines: [f"cat << EOF >> {FILE}", *lines.split("\n"), "EOF"],
    "by printf": lambda lines: ["printf '" + lines.replace("\n", "\\n") + f"\\n' >> {FILE}"],
    "by tee": lambda lines: [f'echo "{lines}" | tee -a {FILE}'],
    "in hexadecimal": lambda lines: ['echo -e "' + "".join(f"\\x{ord(c):02x}" for c in lines) + f'" >> {FILE}'],
    "by base64 -d": lambda lines: [f"echo {encoded(lines)} | base64 -d >> {FILE}"],
    "by base64 --decode": lambda lines: [f'echo "{encoded(lines + chr(10))}"|base64 --decode>>{FILE}'],
    "by base64 -D": lambda lines: [f"echo {encoded(lines)} | base64 -D > {FILE}"],
    "by openssl": lambda lines: [f"openssl base64 -d -A <<< {encoded(lines)} >> {FILE}"],
    "by base64 in a heredoc": lambda lines: [f"base64 -d << EOF >> {FILE}", *encoded(lines, 76).split("\n"), "EOF"],
    "as a script in base64": lambda lines: [
        f"echo {encoded(f'echo {chr(34)}{lines}{chr(34)} >> {FILE}')}|base64 -d|sh"
    ],
    "as base64 in a script in base64": lambda lines: [
        f"echo {encoded(f'echo {encoded(lines)} | base64 -d >> {FILE}')} | base64 -d | bash"
    ],
}
