"""HTTP as it goes wrong: slow, cut, gigantic, elsewhere; and what must never be seen of a request."""

import gzip
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from cowrie_pipeline import __version__
from cowrie_pipeline.enrichment.http_client import (
    HttpClient,
    HttpError,
    HttpRequest,
    RedirectedAwayError,
    Reply,
    TooLargeError,
    TransportError,
)
from cowrie_pipeline_tests.contract.http_process import served_elsewhere
from cowrie_pipeline_tests.contract.http_server import Answer, Asked, HttpServer, as_json
from cowrie_pipeline_tests.contract.services import internetdb

SECRET = "s3cret-key"
ASK = HttpRequest("/thing", params={"token": SECRET}, headers={"X-Key": SECRET})
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
BOMB = gzip.compress(b"x" * 50_000_000, 1)


@pytest.fixture
def client() -> Iterator[HttpClient]:
    with HttpClient(
        contact="me@example.org", read_seconds=5, total_seconds=5, max_bytes=1_000_000, clock=lambda: MOMENT
    ) as client:
        yield client


@pytest.fixture
def hasty() -> Iterator[HttpClient]:
    with HttpClient(connect_seconds=0.3, read_seconds=0.3, total_seconds=0.6) as client:
        yield client


def failure_of(client: HttpClient, answer: Answer | Callable[[Asked], Answer]) -> HttpError:
    with (
        HttpServer(answer if callable(answer) else lambda _asked: answer) as server,
        pytest.raises(HttpError) as caught,
    ):
        client.send(server.url, ASK)
    return caught.value


def test_a_reply_is_read_whole_with_its_status_and_headers(client: HttpClient) -> None:
    with HttpServer(lambda _asked: Answer(404, b"{}", "Application/JSON; charset=utf-8", {"X-Odd": "1"})) as server:
        reply = client.send(server.url + "/", ASK)
    assert (reply.status, reply.body, reply.content_type, reply.fetched_at) == (404, b"{}", "application/json", MOMENT)
    assert reply.headers["x-odd"] == reply.headers["X-ODD"] == "1"
    assert reply.latency_ms > 0


@pytest.mark.parametrize("said", [None, "", "nonsense", "text/" + "x" * 200, f"text/{SECRET} {SECRET}"])
def test_a_content_type_that_is_none_is_left_out_of_messages(client: HttpClient, said: str | None) -> None:
    with HttpServer(lambda _asked: Answer(content_type=said)) as server:
        reply = client.send(server.url, ASK)
    assert str(reply) == "HTTP 200, no content type, 0 bytes"


def test_a_request_says_who_asks_and_what(client: HttpClient) -> None:
    with HttpServer(lambda _asked: Answer()) as server:
        client.send(server.url, HttpRequest("/a?json", method="POST", form={"host": "203.0.113.7"}, headers={"K": "v"}))
        client.send(server.url, ASK)
    post, get = server.asked
    assert post.headers["user-agent"] == f"cowrie_pipeline/{__version__} (+me@example.org)"
    assert (post.method, post.path, post.query, post.form) == ("POST", "/a", "json", {"host": "203.0.113.7"})
    assert post.headers["k"] == "v"
    assert (get.method, get.params, get.headers["x-key"]) == ("GET", {"token": SECRET}, SECRET)


def test_without_a_contact_the_user_agent_is_the_program_alone() -> None:
    with HttpClient() as client:
        assert client.user_agent == f"cowrie_pipeline/{__version__}"


def test_a_contact_that_no_header_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="printable"):
        HttpClient(contact="me\r\nX-Other: 1")


def test_connections_are_kept_and_shared_by_threads(client: HttpClient) -> None:
    with HttpServer(lambda _asked: as_json({}), delay_seconds=0.01) as server, ThreadPoolExecutor(8) as executor:
        replies = list(executor.map(lambda _number: client.send(server.url, ASK), range(100)))
    assert {reply.status for reply in replies} == {200}
    assert len(server.asked) == 100
    assert server.connections <= 8


def test_no_cookie_is_kept(client: HttpClient) -> None:
    with HttpServer(lambda _asked: Answer(headers={"Set-Cookie": "a=b"})) as server:
        client.send(server.url, ASK)
        client.send(server.url, ASK)
    assert all("cookie" not in asked.headers for asked in server.asked)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(never=True),
        Answer(body=b"x" * 10_000, drip_seconds=0.05),
        Answer(body=b"x" * 10_000, drip_seconds=0.05, headers={"Transfer-Encoding": "chunked"}),
        Answer(drip_headers_seconds=0.05),
    ],
    ids=["silence", "slow body", "slow chunk sizes", "slow headers"],
)
def test_what_comes_too_slowly_ends(hasty: HttpClient, answer: Answer) -> None:
    error = failure_of(hasty, answer)
    assert isinstance(error, TransportError)
    assert error.latency_ms > 0


@pytest.mark.parametrize("chunked", [False, True])
def test_a_cut_body_is_no_reply(client: HttpClient, chunked: bool) -> None:
    error = failure_of(client, Answer(body=b"x" * 1000, cut_to=500, chunked=chunked))
    assert isinstance(error, TransportError)
    assert error.status == 200


def test_a_dropped_connection_is_no_reply(client: HttpClient) -> None:
    assert isinstance(failure_of(client, Answer(dropped=True)), TransportError)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"x" * 1_000_001),
        Answer(endless=True),
        Answer(endless=True, chunked=True),
        Answer(body=b"", headers={"Content-Length": "9" * 30}, cut_to=0),
        Answer(body=BOMB, headers={"Content-Encoding": "gzip"}),
        Answer(body=BOMB, headers={"Content-Encoding": "gzip"}, chunked=True),
    ],
    ids=["large", "endless", "endless chunks", "announced", "gzip bomb", "gzip bomb in chunks"],
)
def test_a_body_is_never_read_beyond_the_bound(client: HttpClient, answer: Answer) -> None:
    assert isinstance(failure_of(client, answer), TooLargeError)


def test_a_body_as_large_as_the_bound_is_read(client: HttpClient) -> None:
    with HttpServer(lambda _asked: Answer(body=b"x" * 1_000_000)) as server:
        assert len(client.send(server.url, ASK).body) == 1_000_000


def test_gzip_is_unpacked(client: HttpClient) -> None:
    packed = Answer(body=gzip.compress(b"hello"), headers={"Content-Encoding": "gzip"})
    with HttpServer(lambda _asked: packed) as server:
        assert client.send(server.url, ASK).body == b"hello"


def test_what_cannot_be_unpacked_is_no_reply(client: HttpClient) -> None:
    assert isinstance(failure_of(client, Answer(body=b"hello", headers={"Content-Encoding": "gzip"})), TransportError)


def test_a_redirect_to_another_host_is_not_followed(client: HttpClient) -> None:
    with HttpServer(lambda _asked: Answer()) as other:
        error = failure_of(client, Answer(302, headers={"Location": f"{other.url}/?key={SECRET}"}))
        assert other.asked == []
    assert isinstance(error, RedirectedAwayError)
    assert error.status == 302
    assert SECRET not in str(error)


@pytest.mark.parametrize("target", ["https://127.0.0.1/", "//[", "ftp://127.0.0.1/x", "http://127.0.0.1:99999/"])
def test_a_redirect_to_another_scheme_or_to_nowhere_is_not_followed(client: HttpClient, target: str) -> None:
    assert isinstance(failure_of(client, Answer(301, headers={"Location": target})), RedirectedAwayError)


def test_a_redirect_in_circles_ends(client: HttpClient) -> None:
    assert isinstance(failure_of(client, Answer(302, headers={"Location": "/thing"})), RedirectedAwayError)


def test_a_redirect_within_the_host_is_followed_with_the_key(client: HttpClient) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(301, headers={"Location": "/new"}) if asked.path == "/thing" else as_json({"here": True})

    with HttpServer(answer) as server:
        assert client.send(server.url, ASK).body == b'{"here": true}'
    assert [asked.path for asked in server.asked] == ["/thing", "/new"]
    assert server.asked[1].headers["x-key"] == SECRET


@pytest.mark.parametrize(("status", "method"), [(302, "GET"), (307, "POST"), (308, "POST")])
def test_a_form_goes_along_only_where_the_method_stays(client: HttpClient, status: int, method: str) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(status, headers={"Location": "/new"}) if asked.path == "/old" else Answer()

    with HttpServer(answer) as server:
        client.send(server.url, HttpRequest("/old", method="POST", form={"host": "x"}))
    assert (server.asked[1].method, server.asked[1].form) == (method, {"host": "x"} if method == "POST" else {})


def test_nobody_there_is_a_transport_error(hasty: HttpClient) -> None:
    with HttpServer(lambda _asked: Answer()) as server:
        url = server.url
    with pytest.raises(TransportError, match="no connection"):
        hasty.send(url, ASK)


def test_a_name_without_an_address_is_a_transport_error(hasty: HttpClient) -> None:
    with pytest.raises(TransportError, match="has no address"):
        hasty.send("http://nobody.invalid", ASK)


def test_a_server_without_tls_is_a_transport_error(hasty: HttpClient) -> None:
    with HttpServer(lambda _asked: Answer()) as server, pytest.raises(TransportError, match="no TLS"):
        hasty.send(server.url.replace("http:", "https:"), ASK)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(never=True),
        Answer(dropped=True),
        Answer(body=b"xxx", cut_to=1),
        Answer(endless=True),
        Answer(302, headers={"Location": f"http://elsewhere.example/?k={SECRET}"}),
    ],
    ids=["silence", "dropped", "cut", "endless", "redirect"],
)
def test_no_error_shows_a_secret_even_in_its_traceback(hasty: HttpClient, answer: Answer) -> None:
    error = failure_of(hasty, answer)
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__)
    assert SECRET not in shown
    assert "/thing" not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None


def test_a_header_that_cannot_be_sent_is_not_shown(client: HttpClient) -> None:
    with HttpServer(lambda _asked: Answer()) as server, pytest.raises(TransportError, match="malformed") as caught:
        client.send(server.url, HttpRequest("/", headers={"X-Key": f"{SECRET}\r\nX-Other: 1"}))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_server_in_a_process_of_its_own_counts_what_came(client: HttpClient) -> None:
    with served_elsewhere(internetdb, delay_seconds=0.01) as served:
        for _ in range(3):
            assert client.send(served.url, ASK).status == 404
    assert (len(served.arrivals), served.max_in_flight) == (3, 1)


def test_neither_a_request_nor_a_reply_shows_a_secret() -> None:
    reply = Reply(200, {"X-Echo": SECRET}, SECRET.encode(), "text/plain", 1.0, MOMENT)
    request = HttpRequest("/a", params={"k": SECRET}, form={"k": SECRET}, headers={"k": SECRET})
    assert SECRET not in repr(reply) + str(reply) + repr(request) + str(request)
