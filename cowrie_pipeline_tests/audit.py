"""Ask whether a pinned version that we install has a vulnerability that is known: `make audit`.

pip-audit asks PyPI about every line of constraints.txt. A vulnerability fails, unless `.ci/audit-ignored.toml` names it
with the reason why it does not concern us. Where nobody can be asked, the answer is "not audited", said aloud and soon,
and no failure: whether somebody's network works is not what a check of the code is about.

Belongs here: how pip-audit is run, and what its answer means. Does not belong here: secrets (secret_scan.py).
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["IgnoreListError", "audit", "read_ignored"]

ROOT = Path(__file__).resolve().parents[1]
IGNORED = ROOT / ".ci" / "audit-ignored.toml"
REQUIREMENTS = ROOT / "constraints.txt"
_SECONDS = 120.0
_SECONDS_OF_AN_ANSWER = 10
_NAMED = 5


class IgnoreListError(ValueError):
    """The list of what is ignored says something without a reason; the message says what."""


def read_ignored(path: Path) -> Mapping[str, str]:
    """Return the ids of vulnerabilities that are ignored, and why.

    Raises:
        IgnoreListError: an entry is no text, or one that is too short to be a reason.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    for name, reason in entries.items():
        if not isinstance(reason, str) or len(reason.split()) < 3:
            raise IgnoreListError(f'{path}: expected {name} = "why it does not concern us", found {reason!r}')
    return entries


def audit(
    requirements: Path,
    ignored: Mapping[str, str],
    *,
    options: Sequence[str] = (),
    seconds: float = _SECONDS,
) -> tuple[int, list[str]]:
    """Ask about every pinned requirement; return the exit code, and what there is to say.

    Args:
        requirements: a file of `name==version`.
        ignored: vulnerabilities that do not count, by any of their ids.
        options: more for pip-audit, such as who is asked.
        seconds: how long it may take in all.
    """
    command = [
        *(sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--requirement", str(requirements)),
        *("--format", "json", "--progress-spinner", "off", "--timeout", str(_SECONDS_OF_AN_ANSWER), *options),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return 0, [f"not audited: no answer about {requirements.name} in {seconds:.0f} seconds"]
    try:
        answered = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return 0, [f"not audited: pip-audit could not ask ({last[:200]})"]
    return _judged(answered, ignored)


def _judged(answered: Sequence[Mapping[str, Any]], ignored: Mapping[str, str]) -> tuple[int, list[str]]:
    asked = [each for each in answered if "skip_reason" not in each]
    if not asked:
        return 0, [f"not audited: nothing is known of any of {len(answered)} packages, so nobody who knows was reached"]
    said: list[str] = []
    met: set[str] = set()
    code = 0
    for package in asked:
        for found in package["vulns"]:
            names = {found["id"], *found.get("aliases", ())}
            met |= names & ignored.keys()
            if not names & ignored.keys():
                code = 1
                mended = ", ".join(found.get("fix_versions", ())) or "no version yet"
                said.append(f"{package['name']} {package['version']}: {found['id']}, mended in {mended}")
    said += [f"ignored: {name} ({ignored[name]})" for name in sorted(met)]
    said += [f"ignored for nothing, remove it: {name}" for name in sorted(ignored.keys() - met)]
    skipped = [str(each["name"]) for each in answered if "skip_reason" in each]
    if skipped:
        more = f" and {len(skipped) - _NAMED} more" if len(skipped) > _NAMED else ""
        said.append(f"not audited: {', '.join(skipped[:_NAMED])}{more}")
    return code, [*said, f"audited: {len(asked)} packages"]


def main() -> int:
    """Audit what constraints.txt pins, and print what there is to say."""
    code, said = audit(REQUIREMENTS, read_ignored(IGNORED))
    sys.stdout.writelines(f"{line}\n" for line in said)
    return code


if __name__ == "__main__":
    sys.exit(main())
