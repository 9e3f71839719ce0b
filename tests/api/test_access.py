"""Who may come in: the Host allow-list, client keys, and the address to listen on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from qiao.config import ConfigError, Settings
from tests.api.doors import DOORS, TEXT, judge, knock
from tests.stage import Bridge, bridge

pytestmark = pytest.mark.anyio
OPEN = ["/healthz", "/readyz"]


@pytest.fixture(scope="module")
async def server(anyio_backend: str) -> AsyncIterator[Bridge]:
    hosts = "Qiao.Example.com,gateway,[fd00::7],other.example:8443"
    async with bridge(engine="simulator", allowed_hosts=hosts) as running:
        yield running


@pytest.fixture(scope="module")
async def keyed(anyio_backend: str) -> AsyncIterator[Bridge]:
    async with bridge(engine="simulator", keys="sk-one,密钥,two words") as running:
        yield running


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST:1",
        "127.0.0.1",
        "127.0.0.1:65535",
        "[::1]",
        "[::1]:8000",
        "qiao.example.com",
        "QIAO.example.COM:443",
        "gateway:80",
        "[fd00::7]:8000",
        "other.example",
    ],
)
async def test_its_own_names_are_answered(server: Bridge, host: str) -> None:
    assert (await knock(server, f"GET /healthz HTTP/1.1\r\nhost: {host}")).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.localhost",
        "localhost.",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "[::2]",
        "::1",
        "[::1",
        "[::ffff:127.0.0.1]",
        "localhost:",
        "localhost:x",
        "localhost:123456",
        "user@localhost",
        "localhost@evil.example",
        "localhost/evil.example",
        "localhost evil.example",
        "localhost,evil.example",
        "localhost#",
        "localhost\\",
        "lo\xa0calhost",
        "sub.qiao.example.com",
        "*",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", TEXT, "/healthz", "/nowhere"])
async def test_other_names_are_not(server: Bridge, host: str, path: str) -> None:
    answer = await knock(server, f"GET {path} HTTP/1.1\r\nhost: {host}")
    assert answer.status == 421
    told = answer.json if path == TEXT else answer.json["error"]
    assert told["code"] == "InvalidHost"
    assert answer.json["request_id"] == answer.headers["x-request-id"]


async def test_no_host_no_answer_and_other_headers_do_not_count(server: Bridge) -> None:
    assert (await knock(server, "GET /v1/models HTTP/1.1\r\nx-forwarded-host: localhost")).status == 421
    assert (await knock(server, "GET /v1/models HTTP/1.0")).status == 421
    twice = await knock(server, "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nhost: evil.example")
    assert twice.status in {400, 421}
    absolute = await knock(server, "GET http://localhost/v1/models HTTP/1.1\r\nhost: evil.example")
    assert absolute.status == 421


@pytest.mark.parametrize(
    "header",
    [
        "authorization: Bearer sk-one",
        "authorization: bearer sk-one",
        "AUTHORIZATION:   BEARER   sk-one  ",
        "x-api-key: sk-one",
        "authorization: Bearer two words",
        "x-api-key: two words",
        "authorization: Bearer " + "密钥".encode().decode("latin-1"),
        "x-api-key: " + "密钥".encode().decode("latin-1"),
    ],
)
async def test_a_key_opens(keyed: Bridge, header: str) -> None:
    assert (await knock(keyed, f"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n{header}")).status == 200


@pytest.mark.parametrize(
    "header",
    [
        "x-nothing: sk-one",
        "authorization: Bearer",
        "authorization: Bearer ",
        "authorization: Bearer sk-on",
        "authorization: Bearer sk-one2",
        "authorization: Bearer SK-ONE",
        "authorization: Bearer sk-one,sk-one",
        "authorization: sk-one",
        "authorization: Basic sk-one",
        "authorization: Bearersk-one",
        "authorization: Bearer \xff\xfe",
        "x-api-key: wrong",
        "x-api-key:",
        "cookie: authorization=sk-one; key=sk-one",
        "authorization: Bearer wrong\r\nx-api-key: sk-one",
        "api-key: sk-one",
        "authorization: Bearer two",
        "authorization: Bearer " + "x" * 10_000,
    ],
)
async def test_what_is_no_key_does_not(keyed: Bridge, header: str) -> None:
    for line, native in (("GET /v1/models HTTP/1.1", False), (f"POST {TEXT} HTTP/1.1", True)):
        answer = await knock(keyed, f"{line}\r\nhost: localhost\r\n{header}")
        judge(DOORS["text" if native else "chat"], answer)
        assert answer.status == 401


async def test_every_door_but_the_operators_wants_the_key(keyed: Bridge) -> None:
    doors = [(door.path, "POST") for door in DOORS.values()]
    doors += [("/v1/models", "GET"), ("/v1/models/qwen-plus", "GET"), ("/compatible-mode/v1/models", "GET")]
    doors += [("/api/v1/models", "GET"), ("/api/v1/tasks/t", "GET"), ("/v1/files/f", "DELETE"), ("/api/v1/x", "PATCH")]
    for path, method in doors:
        assert (await keyed.ask(path, method=method)).status == 401, path
    for path in OPEN:
        assert (await keyed.ask(path, method="GET")).status == 200, path


@pytest.mark.parametrize(
    "path",
    [
        "//v1/models",
        "/v1//models",
        "/v1/./models",
        "/v1/models/../chat/completions",
        "/v1/chat%2fcompletions",
        "/V1/models",
        "/healthz/../v1/models",
        "/healthz/..;/v1/models",
        "/healthz%2f..%2fv1%2fmodels",
        "/healthz/",
        "/healthz;/v1/models",
        "/v1/chat/completions/",
        "/v1/chat/completions;x",
        "/api/v1/../../v1/models",
        "/%2e%2e/v1/models",
        "/metrics%00",
        "/v1/models%0d%0aset-cookie:a",
    ],
)
async def test_no_spelling_of_a_path_gets_around_the_key(keyed: Bridge, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await knock(keyed, f"{method} {path} HTTP/1.1\r\nhost: localhost")
        assert answer.status in {400, 401, 404}
        assert "set-cookie" not in answer.headers


async def test_without_keys_everybody_on_this_machine_may_call(server: Bridge) -> None:
    for headers in ({}, {"authorization": "Bearer anything"}, {"x_api_key": "EMPTY"}):
        assert (await server.ask("/v1/models", method="GET", **headers)).status == 200


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "[::]", "192.168.1.5", "10.0.0.1", "example.com", "fd00::7", "", "*"]
)
def test_nobody_listens_beyond_this_machine_without_keys(host: str) -> None:
    with pytest.raises(ConfigError, match="QIAO_KEYS"):
        Settings.load(None, {"host": host})
    for keys in ([], "", ",", " , "):
        with pytest.raises(ConfigError):
            Settings.load(None, {"host": host, "keys": keys})
    assert Settings.load(None, {"host": host, "keys": "k"}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost", "::1", "[::1]"])
def test_on_this_machine_no_key_is_needed(host: str) -> None:
    assert Settings.load(None, {"host": host}).keys == []


@pytest.mark.parametrize(
    "origin", ["https://*.example.com", "app.example.com", "https://a.example/path", "null", "//x"]
)
def test_an_origin_that_is_none_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ConfigError, match="origin"):
        Settings.load(None, {"cors_origins": origin})
