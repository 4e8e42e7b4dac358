"""`make secrets`: what looks like a key is found, what is known is not told again, and nothing is sent anywhere."""

import hashlib
from pathlib import Path

from cowrie_pipeline_tests import secret_scan
from cowrie_pipeline_tests.secret_scan import BASELINE, findings, known_findings

# made here, so that this file holds none
HEX = hashlib.sha256(b"no secret").hexdigest()[:36]
GITHUB = f"ghp_{HEX}"
PRIVATE = "-----BEGIN " + "RSA PRIVATE KEY-----"


def kinds_in(folder: Path, text: str, name: str = "x.py") -> set[str]:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return {kind for _, kind, _ in findings(folder, [name])}


def test_keys_are_found(tmp_path: Path) -> None:
    assert "GitHub Token" in kinds_in(tmp_path, f'x = "{GITHUB}"\n')
    assert "Private Key" in kinds_in(tmp_path, f"{PRIVATE}\n")
    assert "Hex High Entropy String" in kinds_in(tmp_path, f'x = "{HEX}"\n')
    assert "Secret Keyword" in kinds_in(tmp_path, 'password = "tru3lySecretOne"\n')  # pragma: allowlist secret
    assert kinds_in(tmp_path, 'x = "nothing of the kind"\n') == set()


def test_in_tests_invented_passwords_do_not_count_and_keys_do(tmp_path: Path) -> None:
    name = "cowrie_pipeline_tests/x.py"
    assert kinds_in(tmp_path, 'password = "tru3lySecretOne"\n', name) == set()  # pragma: allowlist secret
    assert kinds_in(tmp_path, f'x = "{GITHUB}"\n', name)
    assert kinds_in(tmp_path, f'x = "{HEX}"\n', name)


def test_what_is_known_is_known_by_its_digest_alone() -> None:
    known = known_findings(BASELINE)
    assert known
    assert all(len(digest) == 40 for _, _, digest in known)


def test_no_detector_asks_a_service_whether_a_key_is_good() -> None:
    assert not [name for name in secret_scan._FILTERS if "verif" in name]
