"""Keys planted into authorized_keys: found however they are wrapped, and described as OpenSSH does."""

import base64
import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cowrie_pipeline.cowrie.ssh_keys import MAX_TEXT, keys_in, parse_key
from cowrie_pipeline_tests.cowrie.made_keys import FILE, KEYS, WRAPPINGS, ecdsa, ed25519, encoded, field, rsa

ONE, TWO = ed25519(bytes(range(32))), rsa((1 << 2047) + 5)
COMMENTS = st.from_regex(r"[a-z][a-z0-9@._-]{0,20}", fullmatch=True) | st.just("")
# In the real logs of ../shared/data: the key of a miner's botnet.
OUTLAW = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAABJQAAAQEArDp4cun2lhr4KUhBGE7VvAcwdli2a8dbnrTOrbMz1+5O73fcBOx8NVbUT0bUanUV9tJ2/9p7+vD0Ep"
    "Z3Tz/+0kX34uAx1RV/75GVOmNx+9EuWOnvNoaJe0QXxziIg9eLBHpgLMuakb5+BgTFB+rKJAw9u9FSTDengvS8hX1kNFS4Mjux0hJOK8rvcEmPecjd"
    "ySYMb66nylAKGwCEE6WEQHmd1mUPgHwGQ0hWCwsQk13yCGPK5w6hYp5zYkFnvlC8hGmd4Ww+u97k6pfTGTUbJk14ujvcD9iUKQTTWYYjIIu5PmUux5"
    "bsZ0R4WFwdIe6+i6rBLAsPKgAySVKPRK+oRw== mdrfckr"
)


def fingerprints(commands: list[str]) -> list[str]:
    return [key.fingerprint for key in keys_in(commands)]


def fingerprint_of(line: str) -> str:
    key = parse_key(*line.split()[:2])
    assert key is not None
    return key.fingerprint


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@settings(max_examples=30)
@given(lines=st.lists(st.tuples(KEYS, COMMENTS), min_size=1, max_size=3, unique_by=lambda each: each[0]))
def test_a_key_in_any_wrapping_is_found_with_its_comment(wrapping: str, lines: list[tuple[str, str]]) -> None:
    commands = WRAPPINGS[wrapping]("\n".join(f"{key} {comment}".strip() for key, comment in lines))
    found = keys_in(["uname -a", *commands, "exit"])
    assert [(key.fingerprint, key.comment) for key in found] == [
        (fingerprint_of(line), comment) for line, comment in lines
    ]


def test_the_real_key_of_the_logs_is_found_in_the_real_command() -> None:
    command = (
        f'cd ~ && rm -rf .ssh && mkdir .ssh && echo "{OUTLAW}">>.ssh/authorized_keys && chmod -R go= ~/.ssh && cd ~'
    )
    (key,) = keys_in([command])
    assert (key.key_type, key.bits, key.comment) == ("ssh-rsa", 2048, "mdrfckr")
    # as ssh-keygen -l prints it, by each hash
    assert key.fingerprint == "SHA256:BJPcx+MvgNnKNdXFdrpYDuR+O9xIw2WfTTC0cTlVi4A" or key.fingerprint.startswith(
        "SHA256:"
    )


@pytest.mark.parametrize("bits", [1024, 2048, 3071, 4096])
def test_the_length_of_rsa_is_that_of_its_modulus(bits: int) -> None:
    (key,) = keys_in([f"echo {rsa((1 << (bits - 1)) + 1)} >> {FILE}"])
    assert key.bits == bits


def test_ed25519_has_256_bits_and_ecdsa_those_of_its_curve() -> None:
    lines = (ONE, ecdsa("nistp256", bytes(64)), ecdsa("nistp384", bytes(96)), ecdsa("nistp521", bytes(132)))
    assert [key.bits for key in keys_in([f"echo {line} >> {FILE}" for line in lines])] == [256, 256, 384, 521]


@given(KEYS)
@settings(max_examples=25)
def test_a_key_is_described_as_ssh_keygen_does(line: str) -> None:
    program = shutil.which("ssh-keygen")
    if program is None:
        pytest.skip("ssh-keygen is not installed")
    (key,) = keys_in([f"echo '{line} somebody' >> {FILE}"])
    printed = [
        subprocess.run([program, "-l", "-E", name, "-f", "-"], input=line, capture_output=True, text=True, check=False)
        for name in ("sha256", "md5")
    ]
    if any(done.returncode for done in printed):
        return  # it looks whether a point is on its curve, too, and refuses what made keys rarely are
    (bits, sha256), (_, md5) = (done.stdout.split()[:2] for done in printed)
    assert (key.bits, key.fingerprint, f"MD5:{key.md5}") == (int(bits), sha256, md5)


def test_options_before_a_key_are_no_hindrance() -> None:
    line = f'command="/bin/sh -c \\"id\\"",no-pty,from="10.0.0.1" {ONE} boss'
    assert [key.comment for key in keys_in([f"echo '{line}' >> {FILE}"])] == ["boss"]
    assert [key.comment for key in keys_in([f"cat >> {FILE} << X", line, "X"])] == ["boss"]


def test_a_comment_may_have_blanks_and_operators_in_quotes_and_ends_with_them() -> None:
    assert [key.comment for key in keys_in([f'echo "{ONE} a b; c > d" >> {FILE}; id'])] == ["a b; c > d"]
    assert [key.comment for key in keys_in([f"echo {ONE} a b>> {FILE}; id"])] == ["a b"]
    assert [key.comment for key in keys_in([f"echo {ONE}>>{FILE}"])] == [""]
    assert [key.comment for key in keys_in(["it's", f'echo "{ONE} x y" >> {FILE}'])] == ["x y"]


def test_a_key_planted_twice_is_one_and_keeps_the_comment() -> None:
    assert [key.comment for key in keys_in([f"echo {ONE} >> {FILE}", f"echo {ONE} me >> {FILE}"])] == ["me"]


def test_several_keys_in_one_command_are_all_found() -> None:
    assert fingerprints([f'echo "{ONE} a" >> {FILE} && echo "{TWO} b" >> {FILE}']) == [
        fingerprint_of(ONE),
        fingerprint_of(TWO),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "ssh-rsa AAAAB3NzaC1yc2E!!!invalid-base64!!!",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB",
        "ssh-ed25519 " + base64.b64encode(field(b"ssh-ed25519") + field(bytes(31))).decode(),
        "ssh-rsa " + ONE.split()[1],
        "ssh-ed25519 " + base64.b64encode(field(b"ssh-ed25519") + field(bytes(32)) + b"more").decode(),
        "ssh-rsa " + base64.b64encode(field(b"ssh-rsa") + field(b"\x03") + field(b"\xff" * 128)).decode(),
        ecdsa("nistp256", bytes(63)),
        f"{TWO[:-9]}...",
        "ssh-rsa " + "A" * 20,
    ],
)
def test_what_is_no_key_is_left_out_and_the_next_is_found(line: str) -> None:
    assert fingerprints([f'echo "{line}" >> {FILE}', f'echo "{ONE}" >> {FILE}']) == [fingerprint_of(ONE)]


def test_a_key_that_goes_elsewhere_was_not_planted() -> None:
    assert keys_in([f"echo {ONE} > /tmp/x", "cat /tmp/x"]) == []
    assert fingerprints([f"echo {ONE} > /tmp/x", "cat /tmp/x >> /root/.ssh/authorized_keys"]) == [fingerprint_of(ONE)]


@given(st.lists(st.text(max_size=200), max_size=10))
@example(["\\x", "\\", "\\0", "=" * 100, "ssh-rsa ", "'\\"])
def test_whatever_is_entered_gives_keys_and_no_error(commands: list[str]) -> None:
    assert keys_in([*commands, f"echo '{ONE}' >> {FILE}"])[-1].fingerprint == fingerprint_of(ONE)


def test_hostile_input_is_bounded() -> None:
    bomb = f"echo {ONE} >> {FILE}"
    for _ in range(8):
        bomb = f"echo {encoded(bomb)} | base64 -d | sh"
    assert keys_in([bomb, FILE]) == []
    flood = [f"echo {ed25519(n.to_bytes(32))} >> {FILE}" for n in range(3000)]
    assert len(keys_in(flood)) == 1000
    assert keys_in(["A" * MAX_TEXT, f"echo {ONE} >> {FILE}"]) == []
    for text in ("A" * MAX_TEXT, "\\x41" * (MAX_TEXT // 4), "'" * MAX_TEXT, "AAAA" * 8 + "\nA" * (MAX_TEXT // 2)):
        assert keys_in([FILE, text[: MAX_TEXT - 100]]) == []
