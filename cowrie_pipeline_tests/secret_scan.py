"""Look for keys and passwords in the files that git tracks: `make secrets`.

detect-secrets looks; nothing that it finds is sent anywhere to be tried. Strings that look like secrets and are none
are known by their digests in `.secrets.baseline`; `python -m cowrie_pipeline_tests.secret_scan --accept`, run after a
look at each, adds the new ones. Tests are full of invented passwords: the two detectors that take any text beside the
word `password` for one do not count there, those of real keys and of random digits do.

Belongs here: which files are looked at, with what, and what is known. Does not belong here: packages (audit.py).
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

__all__ = ["Finding", "findings", "known_findings", "tracked_files"]

ROOT = Path(__file__).resolve().parents[1]
BASELINE = ROOT / ".secrets.baseline"
# file, kind of secret, digest
Finding = tuple[str, str, str]

_TESTS = "cowrie_pipeline_tests/"
_NOT_IN_TESTS = frozenset({"Secret Keyword", "Basic Auth Credentials"})
_LIMITS = {"Base64HighEntropyString": {"limit": 4.5}, "HexHighEntropyString": {"limit": 3.0}}
# Addresses are what this project is about; all other detectors look.
_OFF = frozenset({"IPPublicDetector"})
# None of these asks the service whether a key is good, which would tell it the key.
_FILTERS = (
    "allowlist.is_line_allowlisted",
    "heuristic.is_indirect_reference",
    "heuristic.is_likely_id_string",
    "heuristic.is_lock_file",
    "heuristic.is_not_alphanumeric_string",
    "heuristic.is_potential_uuid",
    "heuristic.is_prefixed_with_dollar_sign",
    "heuristic.is_sequential_string",
    "heuristic.is_templated_secret",
)


def tracked_files(root: Path) -> list[str]:
    """Return the files that git tracks below a folder, without the baseline itself."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout.decode()
    return [name for name in listed.split("\0") if name and name != BASELINE.name and (root / name).is_file()]


def findings(root: Path, names: Iterable[str]) -> dict[Finding, int]:
    """Return what looks like a secret in files below `root`, with the line in which it is."""
    detectors = sorted({kind.__name__ for kind in get_mapping_from_secret_type_to_class().values()} - _OFF)
    chosen = {
        "plugins_used": [{"name": name, **_LIMITS.get(name, {})} for name in detectors],
        "filters_used": [{"path": f"detect_secrets.filters.{name}"} for name in _FILTERS],
    }
    with transient_settings(chosen):
        collection = SecretsCollection(root=str(root))
        collection.scan_files(*names)
    return {
        (str(name), secret.type, secret.secret_hash): secret.line_number
        for name, secret in collection
        if not (str(name).startswith(_TESTS) and secret.type in _NOT_IN_TESTS)
    }


def known_findings(path: Path) -> set[Finding]:
    """Return the strings that were looked at and are no secrets."""
    kept: Mapping[str, Mapping[str, list[str]]] = json.loads(path.read_text(encoding="utf-8"))
    return {
        (name, kind, digest) for name, kinds in kept.items() for kind, digests in kinds.items() for digest in digests
    }


def _write(path: Path, found: Iterable[Finding]) -> None:
    kept: dict[str, dict[str, Any]] = {}
    for name, kind, digest in sorted(found):
        kept.setdefault(name, {}).setdefault(kind, []).append(digest)
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Look through all tracked files; return 1 if there is something new, unless it is to be accepted."""
    found = findings(ROOT, tracked_files(ROOT))
    if "--accept" in arguments:
        _write(BASELINE, found)
        sys.stdout.write(f"{len(found)} strings are known as no secrets\n")
        return 0
    new = sorted(found.keys() - known_findings(BASELINE))
    for name, kind, digest in new:
        sys.stdout.write(f"{name}:{found[name, kind, digest]}: {kind}\n")
    if new:
        sys.stdout.write(f"{len(new)} may be secrets: take them out, and change them if they were ever pushed\n")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
