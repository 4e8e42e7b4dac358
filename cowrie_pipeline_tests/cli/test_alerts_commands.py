"""The commands `alerts`: who is reached, what is wrong, a round without the daemon, an end by hand."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowrie_pipeline_tests.cli.in_process import invoke
from cowrie_pipeline_tests.contract.http_server import Answer, HttpServer

SECRET = "s3cr3t-p4th"


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(lambda asked: Answer(404 if "broken" in asked.path else 200)) as made:
        yield made


def named(folder: Path, server: HttpServer, *names: str) -> dict[str, str | Path]:
    """Write receivers of these names; return the variables that name them."""
    file = folder / "alerts.toml"
    file.write_text(
        "\n".join(
            f'[[receiver]]\nname = "{name}"\nkind = "slack"\nurl = "{server.url}/{name}/{SECRET}"\n' for name in names
        )
    )
    return {"COWRIE_ALERTS_FILE": file, "COWRIE_ALERT_DAY_DUE_HOUR": "0"}


def test_everybody_is_told_of_a_test_and_what_each_said_is_shown(tmp_path: Path, server: HttpServer) -> None:
    done = invoke(tmp_path, "alerts", "test", **named(tmp_path, server, "chat", "broken"))
    assert done.code == 1
    assert "HTTP 404" in done.out
    assert SECRET not in done.out + done.err
    assert [asked.path.split("/")[1] for asked in server.asked] == ["chat", "broken"]
    assert "nothing is wrong" in json.loads(server.asked[0].body)["text"]
    done = invoke(tmp_path, "alerts", "test", "--json", **named(tmp_path, server, "chat"))
    assert (done.code, done.json["receivers"][0]["arrived"]) == (0, True)


def test_without_a_receiver_a_test_says_what_to_set(tmp_path: Path) -> None:
    done = invoke(tmp_path, "alerts", "test")
    assert done.code == 2
    assert "COWRIE_ALERTS_FILE" in done.err


def test_a_round_without_the_daemon_tells_of_a_late_day_once(
    tmp_path: Path, server: HttpServer, database_url: str
) -> None:
    variables = named(tmp_path, server, "chat")
    done = invoke(tmp_path, "alerts", "send", "--db", database_url, "--json", **variables)
    assert (done.code, done.json) == (0, {"written": 1, "delivered": 1, "errors": {}})
    done = invoke(tmp_path, "alerts", "send", "--db", database_url, "--json", **variables)
    assert done.json == {"written": 0, "delivered": 0, "errors": {}}
    assert len(server.asked) == 1
    listed = invoke(tmp_path, "alerts", "list", "--db", database_url, "--json", **variables).json
    assert [each["fingerprint"] for each in listed["open"]] == ["late"]
    assert listed["waiting"] == []
    assert "days are late" in invoke(tmp_path, "alerts", "list", "--db", database_url, **variables).out
    assert invoke(tmp_path, "alerts", "close", "late", "--db", database_url, **variables).code == 0
    assert invoke(tmp_path, "alerts", "close", "late", "--db", database_url, **variables).code == 1
    listed = invoke(tmp_path, "alerts", "list", "--db", database_url, "--json", **variables).json
    assert listed["open"] == []
    assert [each["messages"] for each in listed["waiting"]] == [1]


def test_a_receiver_that_is_down_is_shown_with_what_waits(
    tmp_path: Path, server: HttpServer, database_url: str
) -> None:
    variables = named(tmp_path, server, "broken")
    done = invoke(tmp_path, "alerts", "send", "--db", database_url, **variables)
    assert done.code == 1
    assert "broken: HTTP 404" in done.err
    done = invoke(tmp_path, "alerts", "list", "--db", database_url, **named(tmp_path, server, "other"))
    assert "broken (no receiver any more)" in done.out
    assert SECRET not in done.out
