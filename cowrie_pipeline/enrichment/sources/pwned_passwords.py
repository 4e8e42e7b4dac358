"""Pwned Passwords (Have I Been Pwned): how often a password was seen in leaks, without telling the password.

Belongs here: what is asked, and how the answer reads.
Does not belong here: limits, pauses, calls in flight (http_source.py), which passwords were tried.

Only the first five hexadecimal digits of a password's SHA-1 leave the machine. Format (haveibeenpwned.com/API/v3,
`range`): a text line `SUFFIX:COUNT` for each known password whose SHA-1 begins so, and with `Add-Padding` more lines
with count 0, which hide from an onlooker how many there are.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cowrie_pipeline.enrichment.http_client import HttpRequest, Reply
from cowrie_pipeline.enrichment.sources.http_source import HttpSource, UnreadableAnswerError
from cowrie_pipeline.enrichment.terms import Limit, Terms
from cowrie_pipeline.enrichment.values import count_value

__all__ = ["PwnedPasswordsSource", "prefix_of", "times_seen"]

PREFIX_DIGITS = 5
KEPT_DIGITS = 11
_PREFIX = re.compile(r"[0-9A-F]{5}")
_LINE = re.compile(r"([0-9A-F]{35}):([0-9]{1,18})")
_EXPECTED = "lines of 35 hexadecimal digits, a colon and a count"


class PwnedPasswordsSource(HttpSource):
    """How often the passwords were seen whose SHA-1 begins with the key: five upper-case hexadecimal digits.

    Payload: `counts`, a map from the next 11 digits, in upper case, to how often that password was seen. A password
    whose digits are not there was not seen. Of the other 24 digits nothing is kept, for a range is some 900 lines:
    with 64 bits of a hash in all, one password in 10**16 is taken for another.
    """

    terms = Terms(
        service="pwned_passwords",
        title="Have I Been Pwned: Pwned Passwords",
        about="how often a password was seen in leaks",
        url="https://haveibeenpwned.com/Passwords",
        hit_for=timedelta(days=60),
        negative_for=timedelta(days=60),
        licence="CC BY 4.0",
        attribution="Have I Been Pwned, haveibeenpwned.com",
        # The service has no limit. This is ours: a range is large, and the passwords tried most come first.
        limits=(Limit(1000, timedelta(days=1)),),
    )
    default_url = "https://api.pwnedpasswords.com"
    asks_about = "five upper-case hexadecimal digits"
    refusal_advice = "Pwned Passwords turns away a missing User-Agent: look whether something on the way removes it"

    def applies_to(self, key: str) -> bool:
        """Whether `key` is the beginning of a SHA-1, and nothing that could be a password."""
        return _PREFIX.fullmatch(key) is not None

    def request(self, key: str) -> HttpRequest:
        """Ask for all passwords with this prefix."""
        return HttpRequest(f"/range/{key}", headers={"Add-Padding": "true"})

    def parse(self, key: str, reply: Reply) -> Mapping[str, Any] | None:  # noqa: ARG002 - a reply does not name it
        """Read all lines; one that is odd spoils the answer, since what is missing in it would count as not seen."""
        try:
            lines = reply.body.decode("ascii").upper().split()
        except UnicodeDecodeError:
            lines = []
        matches = [_LINE.fullmatch(line) for line in lines]
        if reply.status != 200 or not matches or not all(matches):
            raise UnreadableAnswerError(_EXPECTED, reply)
        counts: dict[str, int] = {}
        for match in matches:
            count = None if match is None else count_value(match[2])
            if match is not None and count:
                kept = match[1][:KEPT_DIGITS]
                counts[kept] = max(count, counts.get(kept, 0))
        return {"counts": counts}


def prefix_of(sha1: str) -> str:
    """Return the key of a password by its SHA-1, 40 upper-case digits: the five of them that may leave the machine."""
    return sha1[:PREFIX_DIGITS]


def times_seen(sha1: str, payload: Mapping[str, Any]) -> int:
    """Return how often a password was seen, by its SHA-1 and the payload of its prefix: 0 for never."""
    counts = payload.get("counts")
    kept = sha1[PREFIX_DIGITS : PREFIX_DIGITS + KEPT_DIGITS]
    return (count_value(counts.get(kept)) or 0) if isinstance(counts, Mapping) else 0
