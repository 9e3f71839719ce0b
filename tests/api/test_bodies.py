"""Every door with odd bodies: whatever comes, the answer is in the door's own envelope and never a 5xx."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.doors import DOORS, TEXT, Door, judge, knock, places, replaced
from tests.stage import ANSWER, WHOLE, Asked, Bridge, bridge, scripted

pytestmark = pytest.mark.anyio
MIB = 2**20

_often = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_seldom = settings(_often, max_examples=12)
WRONG = "Required body invalid, please check the request body format."
DEEP = b'{"model":"m","x":%b1%b}'
CALL = b'{"model":"qwen-plus","messages":[{"role":"user","content":"%b"}]%b}'
VECTORS = b'{"object":"list","data":[{"embedding":[0.5],"index":0}],"model":"m","usage":{"prompt_tokens":1}}'
UNREADABLE = {
    "nothing": b"",
    "spaces": b"  ",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"x"',
    "half": b'{"model":"qwen-plus"',
    "more": b'{"model":"qwen-plus"}{}',
    "a byte order mark": b"\xef\xbb\xbf" + CALL % (b"x", b""),
    "UTF-16": (CALL % (b"x", b"")).decode().encode("utf-16"),
    "bytes that are no UTF-8": CALL % (b"\xff", b""),
    "half a character": CALL % ("你".encode()[:2], b""),
    "an encoded surrogate": CALL % (b"\xed\xa0\x80", b""),
    "an escaped surrogate": CALL % (b"\\ud800", b""),
    "the wrong half of a pair": CALL % (b"\\udc00 and more", b""),
    "a surrogate in a field that nobody reads": CALL % (b"x", b',"y":{"z":["\\ud800 and more"]}'),
    "a control character": CALL % (b"\n", b""),
    "NaN": CALL % (b"x", b',"temperature":NaN'),
    "Infinity": CALL % (b"x", b',"y":-Infinity'),
    "a leading zero": CALL % (b"x", b',"n":01'),
    "65 levels": DEEP % (b"[" * 64, b"]" * 64),
    "65 levels after brackets in a text": DEEP % (b'["]]\\"]]",' * 64, b"]" * 64),
    "many levels": DEEP % (b"[" * 100_000, b"]" * 100_000),
    "brackets that only open": b'{"a":' + b"[" * 2**20,
    "brackets that only close": b"]" * 2**20 + b"{",
    "too many values": CALL % (b"x", b',"y":[%b1]' % (b"1," * 100_000)),
    "too many names": CALL % (b"x", b"".join([b',"%d":1' % at for at in range(100_000)])),
    "a form": b"model=qwen-plus&messages=hi",
    "gzip": gzip.compress(CALL % (b"x", b"")),
}
odd: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["", "text", "json_schema", "image_url", "user", "tool", "auto", "weather", "{", "!html", "￿", "\0"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=4) | st.sampled_from(["type", "text", "function", "content"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
async def simulator(anyio_backend: str) -> AsyncIterator[Bridge]:
    async with bridge(engine="simulator") as server:
        yield server


@pytest.fixture(scope="module")
async def http(anyio_backend: str) -> AsyncIterator[Bridge]:
    async def fine(asked: Asked) -> None:
        if asked.path == "/v1/embeddings":
            await asked.whole(VECTORS)
        elif asked.path == "/v1/rerank":
            ranks = [{"index": at, "relevance_score": 0.5} for at in range(len(asked.json["documents"]))]
            await asked.whole(json.dumps({"results": ranks}).encode())
        elif re.search(rb'"stream": ?true', asked.body):
            await asked.events(ANSWER)
        else:
            await asked.whole(WHOLE)

    async with scripted(fine) as engine, bridge(engine="http", engine_url=engine.url) as server:
        yield server


@pytest.fixture(scope="module")
async def local(anyio_backend: str) -> AsyncIterator[Bridge]:
    async with bridge(engine="local") as server:
        yield server


async def _try(server: Bridge, door: Door, body: Any) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    judge(door, await server.ask(door.path, data, **door.headers))


@pytest.mark.parametrize("name", DOORS)
@_often
@given(body=st.binary(max_size=40))
async def test_any_bytes_get_an_answer_in_the_envelope(simulator: Bridge, name: str, body: bytes) -> None:
    await _try(simulator, DOORS[name], body)


@pytest.mark.parametrize("name", DOORS)
@_often
@given(body=odd)
async def test_any_json_gets_an_answer_in_the_envelope(simulator: Bridge, name: str, body: Any) -> None:
    await _try(simulator, DOORS[name], body)


@pytest.mark.parametrize("engine", ["simulator", "http"])
@pytest.mark.parametrize("name", DOORS)
@settings(_often, max_examples=200)
@given(at=st.integers(0, 200), value=odd)
async def test_any_value_in_any_place_gets_an_answer_in_the_envelope(
    simulator: Bridge, http: Bridge, engine: str, name: str, at: int, value: Any
) -> None:
    door = DOORS[name]
    all_places = places(door.call)
    body = replaced(door.call, all_places[at % len(all_places)], value)
    await _try(simulator if engine == "simulator" else http, door, body)


@pytest.mark.parametrize("name", ["chat", "chat streamed", "text", "text streamed", "multimodal"])
@_seldom
@given(at=st.integers(0, 200), value=odd)
async def test_the_local_engine_is_no_weaker(local: Bridge, name: str, at: int, value: Any) -> None:
    door = DOORS[name]
    all_places = places(door.call)
    await _try(local, door, replaced(door.call, all_places[at % len(all_places)], value))


@pytest.mark.parametrize("name", ["chat", "text", "text streamed", "multimodal", "tokenizer"])
@pytest.mark.parametrize("what", UNREADABLE)
async def test_a_body_that_cannot_be_read_is_a_400(simulator: Bridge, name: str, what: str) -> None:
    door = DOORS[name]
    answer = await simulator.ask(door.path, UNREADABLE[what], **door.headers)
    judge(door, answer)
    told = answer.json if door.native else answer.json["error"]
    assert answer.status == 400
    assert told["code"] == ("InvalidParameter" if door.native else "invalid_parameter_error")
    assert told["message"].startswith(WRONG)


@pytest.mark.parametrize(
    "more",
    [
        b',"y":1e999',
        b',"y":%b' % (b"9" * 5000),
        b',"y":%b1%b' % (b"[" * 63, b"]" * 63),
        b',"y":[%b1]' % (b"1," * 90_000),
        b',"y":"%b"' % (b"[{," * 100_000),
        b',"y":"%b"' % (rb"\"[\\" * 100_000),
        b',"":null,"\\u0000":{}',
    ],
)
async def test_what_is_odd_but_readable_in_a_field_that_nobody_reads_does_no_harm(http: Bridge, more: bytes) -> None:
    for door in (DOORS["chat"], DOORS["chat streamed"]):
        answer = await http.ask(door.path, CALL % (b"x", more))
        judge(door, answer)
        assert answer.status == 200


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (b'"temperature":1e999', "'temperature' must be Float"),
        (b'"seed":%b' % (b"9" * 5000), "Input should be a valid integer: parameters.seed"),
        (b'"n":9223372036854775808', "Range of n should be [1, 4]"),
        (b'"max_tokens":1e3000', "Input should be a valid integer: parameters.max_tokens"),
        (b'"stop":[1e999]', "Input should be a valid value: parameters.stop"),
        (b'"response_format":{"type":1e999}', "Input should be a valid value: parameters.response_format"),
    ],
)
async def test_a_number_out_of_range_is_a_400(simulator: Bridge, field: bytes, text: str) -> None:
    answer = await simulator.ask("/v1/chat/completions", CALL % (b"x", b"," + field))
    judge(DOORS["chat"], answer)
    assert answer.status == 400
    assert text in answer.json["error"]["message"]


@pytest.mark.parametrize("name", ["chat", "text"])
async def test_a_large_body_is_a_413_unless_it_carries_base64(simulator: Bridge, name: str) -> None:
    door = DOORS[name]
    large = b"x" * (17 * MIB)
    answer = await simulator.ask(door.path, b'{"model":"qwen-plus","x":"%b"}' % large)
    judge(door, answer)
    assert answer.status == 413
    assert "16 MiB" in answer.body.decode()
    picture = b'{"type":"image_url","image_url":{"url":"data:image/png;base64,%b"}}' % large
    seeing = b'{"model":"qwen-vl-plus","messages":[{"role":"user","content":[%b]}]}' % picture
    assert (await simulator.ask("/v1/chat/completions", seeing)).status == 200
    head = f"POST {door.path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {65 * MIB}"
    announced = await knock(simulator, head)
    judge(door, announced)
    assert announced.status == 413


async def test_bodies_that_together_take_too_much_memory_are_told_to_come_back() -> None:
    async with bridge(engine="simulator", limits={"buffered_mib": 1}) as server:
        answer = await server.ask("/v1/chat/completions", CALL % (b"x" * MIB, b""))
        judge(DOORS["chat"], answer, most=503)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert (await server.chat()).status == 200, "what it held is free again"


async def test_of_a_name_that_comes_twice_the_engine_gets_only_the_one_that_was_read() -> None:
    async with scripted(Asked.whole) as engine, bridge(engine="http", engine_url=engine.url) as server:
        for twice in (b'"model":"a","model":"b"', b'"model": "a", "model": "b"', rb'"model":"a","mo\u0064el":"b"'):
            answer = await server.ask(
                "/v1/chat/completions", b'{%b,"messages":[{"role":"user","content":"x"}]}' % twice
            )
            assert answer.status == 200
        for asked in engine.asked:
            pairs: list[tuple[str, Any]] = json.loads(asked.body, object_pairs_hook=list)
            assert [value for name, value in pairs if name == "model"] == ["b"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"role":"user","content":"\\u4f60 \\"{}:\\\\"}],"model":"a","x":0.80}',
        b'{"messages": [{"role": "user", "content": ":"}], "model": "a", "x": 0.80}',
        b'\n{ "model" : "a",\n"messages":[ {"role":"user","content":"x:{"} ] , "m\\u006f": {"a":1,"a":2} }\n',
    ],
)
async def test_a_body_without_doubles_reaches_the_engine_as_it_is(body: bytes) -> None:
    async with scripted(Asked.whole) as engine, bridge(engine="http", engine_url=engine.url) as server:
        assert (await server.ask("/v1/chat/completions", body)).status == 200
        assert engine.asked[0].body == body


async def test_a_native_stream_switch_in_the_body_switches_nothing(simulator: Bridge) -> None:
    call = {"model": "qwen-plus", "stream": True, "input": {"prompt": "hi"}, "parameters": {"stream": True}}
    answer = await simulator.ask(TEXT, call)
    assert answer.headers["content-type"] == "application/json"
