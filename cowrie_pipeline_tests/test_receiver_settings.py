"""The file that names who is told of trouble: what it may say, and that errors show no secret."""

from pathlib import Path

import pytest

from cowrie_pipeline.settings import ReceiverSettings, Settings, SettingsError, read_receivers

SECRET = "s3cr3t-v4lue"


def read(folder: Path, text: str, **environment: str) -> tuple[ReceiverSettings, ...]:
    file = folder / "alerts.toml"
    file.write_text(text, encoding="utf-8")
    return read_receivers(Settings(alerts_file=file), environment)


def test_without_a_file_nobody_is_told() -> None:
    assert read_receivers(Settings(), {}) == ()


def test_each_kind_of_receiver_is_read(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{SECRET}\n")
    hook, chat, phone, mail = read(
        tmp_path,
        f"""
        [[receiver]]
        name = "hook"
        kind = "webhook"
        url = "https://hooks.example.org/x"
        token_env = "HOOK_TOKEN"

        [[receiver]]
        name = "chat"
        kind = "slack"
        url_env = "CHAT_URL"
        severity = "error"
        assets = ["raw_sessions", "ip_inventory"]

        [[receiver]]
        name = "phone"
        kind = "ntfy"
        url = "https://ntfy.example.org/honeypot"

        [[receiver]]
        name = "mail"
        kind = "email"
        host = "mail.example.org"
        username = "cowrie"
        password_file = "{tmp_path / "password"}"
        from = "cowrie@example.org"
        to = ["a@example.org"]
        """,
        HOOK_TOKEN=SECRET,
        CHAT_URL=f"https://chat.example.org/{SECRET}",
    )
    assert (hook.kind, hook.token, hook.severity, hook.assets) == ("webhook", SECRET, "warn", ())
    assert (chat.url, chat.severity) == (f"https://chat.example.org/{SECRET}", "error")
    assert chat.assets == ("raw_sessions", "ip_inventory")
    assert phone.url == "https://ntfy.example.org/honeypot"
    assert (mail.password, mail.security, mail.port, mail.sender) == (SECRET, "starttls", 587, "cowrie@example.org")
    assert SECRET not in repr((hook, chat, phone, mail))


BASE = 'name = "x"\nkind = "{kind}"\n'
MAIL = BASE.format(kind="email") + 'host = "h"\nfrom = "a@b.c"\nto = ["a@b.c"]\n'


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('kind = "slack"', "name is missing"),
        ('name = "x"', "kind is missing"),
        (BASE.format(kind="pager"), "kind must be one of"),
        (BASE.format(kind="slack"), "url must be"),
        (BASE.format(kind="slack") + 'url = "file:///etc/s3cr3t-v4lue"', "url must be"),
        (BASE.format(kind="slack") + 'url = "https://h/s3cr3t-v4lue"\nseverity = "fatal"', "severity must be one of"),
        (BASE.format(kind="ntfy") + 'url = "https://h/"', "topic"),
        (BASE.format(kind="slack") + "url = 17", "url must be a text"),
        (BASE.format(kind="slack") + 'assets = "raw_sessions"', "list of texts"),
        (BASE.format(kind="slack") + 'colour = "s3cr3t-v4lue"', "colour is no setting"),
        (BASE.format(kind="slack") + 'url = "https://h/"\nurl_env = "SET"', "given twice"),
        (BASE.format(kind="slack") + 'url_env = "UNSET"', "UNSET, which is not set"),
        (BASE.format(kind="slack") + 'url_file = "/nowhere/at/all"', "cannot be read"),
        (BASE.format(kind="slack") + 'url = "https://h/s3cr3t-v4lue"\ntoken = "s3cr3t-v4lue\\n"', "printable"),
        (BASE.format(kind="email"), "host, from and to"),
        (MAIL + 'password = "s3cr3t-v4lue"', "go together"),
        (MAIL + 'security = "none"\nusername = "u"\npassword = "s3cr3t-v4lue"', "without TLS"),
        (MAIL + "port = 70000", "port"),
        (MAIL + 'security = "ssl"', "security must be one of"),
    ],
)
def test_what_makes_no_sense_is_said_without_a_secret(table: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=expected) as caught:
        read(tmp_path, f"[[receiver]]\n{table}", SET=SECRET)
    assert SECRET not in str(caught.value)
    assert "receiver 1" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["x = 1", "receiver = 1", "[receiver]\nname = 's3cr3t-v4lue'", "s3cr3t-v4lue = = 1", "\udcff"]
)
def test_a_file_that_is_no_list_of_receivers_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "alerts.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SettingsError, match=r"alerts\.toml") as caught:
        read_receivers(Settings(alerts_file=file), {})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nobody\.toml"):
        read_receivers(Settings(alerts_file=tmp_path / "nobody.toml"), {})


def test_two_receivers_of_one_name_are_refused(tmp_path: Path) -> None:
    table = '[[receiver]]\nname = "x"\nkind = "slack"\nurl = "https://h/x"\n'
    with pytest.raises(SettingsError, match="name of its own"):
        read(tmp_path, table * 2)


@pytest.mark.parametrize("variable", ["COWRIE_UI_URL", "COWRIE_DOCS_URL"])
@pytest.mark.parametrize(
    "url", ["dagster.example.org", "ftp://h/", f"https://me:{SECRET}@h/", "https://h/<b>", "https://h:x/"]
)
def test_what_cannot_be_linked_to_is_refused_and_not_shown(variable: str, url: str) -> None:
    with pytest.raises(SettingsError, match=variable) as caught:
        Settings.from_environment({variable: url})
    assert SECRET not in str(caught.value)
