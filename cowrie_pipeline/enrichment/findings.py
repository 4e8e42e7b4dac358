"""What an operator should know about a source, in words.

Belongs here: the shape of a finding.
Does not belong here: deciding that there is one (the sources), showing it (orchestration/, cli/).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

__all__ = ["Finding", "Reporter"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that keeps `service` from giving all it could; `where` is a file, a folder or a server."""

    service: str
    where: str
    expected: str
    found: str
    advice: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.service}: expected {self.expected}, found {self.found} ({self.where}). {self.advice}"


@runtime_checkable
class Reporter(Protocol):
    """A source that can say more about itself than whether it is usable."""

    def findings(self, now: datetime) -> Sequence[Finding]:
        """Return what is missing, old or broken at `now`."""
        ...
