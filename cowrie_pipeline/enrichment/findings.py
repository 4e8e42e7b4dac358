"""What an operator should know about a source, in words.

Belongs here: the shape of a finding.
Does not belong here: deciding that there is one (the sources), showing it (orchestration/, cli/).
"""

from dataclasses import dataclass

__all__ = ["Finding"]


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
