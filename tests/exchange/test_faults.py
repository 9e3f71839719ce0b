"""What engines and clients do wrong (reliability design, F1-F17 and C1-C3), each with both ends scripted."""

import asyncio
import json
import socket
import time

import pytest

from tests.stage import ANSWER, DONE, FINISH, HELLO, ROLE, USAGE, WHOLE, Asked, bridge, scripted

pytestmark = pytest.mark.anyio
QUICK = {"first_byte": 0.4, "idle": 0.4, "connect": 0.4}


def _error(body: bytes) -> dict[str, str]:
    """The error of a stream's last frame."""
    last = body.rstrip(b"\n").rsplit(b"\n\n", 1)[-1]
    assert last.startswith(b'data: {"error":'), body
    return json.loads(last[6:])["error"]


def _two(server_a: str, server_b: str) -> dict[str, object]:
    rows = [{"name": name, "kind": "openai", "url": url} for name, url in (("a", server_a), ("b", server_b))]
    return {"engines": rows, "timeouts": QUICK}


def _closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def test_f1_a_refused_connection_fails_over() -> None:
    dead = f"http://127.0.0.1:{_closed_port()}"
    async with scripted(Asked.whole) as good, bridge(**_two(dead, good.url)) as server:
        answer = await server.chat()
        assert (answer.status, answer.headers["x-qiao-engine"]) == (200, "b")


async def test_f1_with_no_engine_left_the_caller_hears_503_in_its_own_protocol() -> None:
    async with bridge(engine="http", engine_url=f"http://127.0.0.1:{_closed_port()}") as server:
        answer = await server.chat()
        assert answer.status == 503
        assert "retry-after" in answer.headers
        assert str(_closed_port()) not in answer.body.decode(), "no address leaks"
        native = {"model": "qwen-plus", "input": {"prompt": "hi"}}
        flat = await server.ask("/api/v1/services/aigc/text-generation/generation", native)
        assert (flat.status, set(flat.json)) == (503, {"code", "message", "request_id"})


async def test_f2_a_black_hole_costs_the_connect_limit() -> None:
    hole = socket.socket()
    hole.bind(("127.0.0.1", 0))
    hole.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(hole.getsockname())
    try:
        dark = f"http://127.0.0.1:{hole.getsockname()[1]}"
        async with scripted(Asked.whole) as good, bridge(**_two(dark, good.url)) as server:
            answer = await server.chat()
            assert (answer.status, answer.headers["x-qiao-engine"]) == (200, "b")
    finally:
        for sock in (hole, *fillers):
            sock.close()


async def test_f3_a_reset_before_the_first_byte_is_retried() -> None:
    async def reset(asked: Asked) -> None:
        asked.reset()

    async with scripted(reset, Asked.whole) as engine, bridge(engine="http", engine_url=engine.url) as server:
        assert (await server.chat()).body == WHOLE
        assert len(engine.asked) == 2


@pytest.mark.parametrize("cut", ["frame", "inside"])
async def test_f4_a_reset_in_the_stream_ends_in_an_event_and_is_never_retried(cut: str) -> None:
    async def broken(asked: Asked) -> None:
        await asked.begin()
        await asked.piece(ROLE + HELLO + (HELLO[:30] if cut == "inside" else b""))
        await asyncio.sleep(0.05)
        asked.reset()

    async with scripted(broken) as engine, bridge(engine="http", engine_url=engine.url) as server:
        answer = await server.chat(stream=True)
        assert answer.status == 200
        assert answer.body.startswith(ROLE + HELLO)
        assert "broke" in _error(answer.body)["message"]
        assert DONE not in answer.body
        assert len(engine.asked) == 1


async def test_f5_an_early_clean_end_is_said() -> None:
    async def early(asked: Asked) -> None:
        await asked.events(ROLE + HELLO)

    async with scripted(early) as engine, bridge(engine="http", engine_url=engine.url) as server:
        answer = await server.chat(stream=True)
        assert "before its answer was complete" in _error(answer.body)["message"]


async def test_f6_silence_before_the_first_token_fails_over_or_is_504() -> None:
    async def silent(asked: Asked) -> None:
        await asyncio.sleep(2)

    async def headers_only(asked: Asked) -> None:
        await asked.begin()
        await asyncio.sleep(2)

    for script in (silent, headers_only):
        async with scripted(script) as slow, scripted(Asked.events) as good:
            async with bridge(**_two(slow.url, good.url)) as server:
                answer = await server.chat(stream=True, stream_options={"include_usage": True})
                assert (answer.headers["x-qiao-engine"], answer.body) == ("b", ANSWER)
            async with bridge(engines=[{"name": "a", "kind": "openai", "url": slow.url}], timeouts=QUICK) as server:
                assert (await server.chat()).status == 504


async def test_f7_silence_in_the_stream_ends_in_an_event() -> None:
    async def stall(asked: Asked) -> None:
        await asked.begin()
        await asked.piece(ROLE + HELLO)
        await asked.gone()

    async with scripted(stall) as engine, bridge(engine="http", engine_url=engine.url, timeouts=QUICK) as server:
        answer = await server.chat(stream=True)
        assert "silent" in _error(answer.body)["message"]


async def test_f9_a_short_retry_after_is_waited_for_and_a_long_one_is_passed_on() -> None:
    async def busy(asked: Asked) -> None:
        await asked.whole(b'{"error":{"message":"slow down","code":"limit_requests"}}', 429, retry_after="1")

    async def far(asked: Asked) -> None:
        await asked.whole(b'{"error":{"message":"slow down","code":"limit_requests"}}', 429, retry_after="77")

    async with scripted(busy, Asked.whole) as engine, bridge(engine="http", engine_url=engine.url) as server:
        began = time.monotonic()
        assert (await server.chat()).status == 200
        assert time.monotonic() - began >= 1
    async with scripted(far) as engine, bridge(engine="http", engine_url=engine.url) as server:
        answer = await server.chat()
        assert answer.status == 429
        assert 76 <= int(answer.headers["retry-after"]) <= 77
        assert answer.json["error"]["code"] == "limit_requests"
        assert len(engine.asked) == 1
        again = await server.chat()
        assert again.status == 429
        assert len(engine.asked) == 1, "the engine is left alone until then"


async def test_f9_another_engine_answers_while_one_is_busy() -> None:
    async def busy(asked: Asked) -> None:
        await asked.whole(b'{"error":{"message":"slow down","code":"limit_requests"}}', 429, retry_after="9")

    async with scripted(busy) as a, scripted(Asked.whole) as b, bridge(**_two(a.url, b.url)) as server:
        assert (await server.chat()).headers["x-qiao-engine"] == "b"
        assert (await server.chat()).headers["x-qiao-engine"] == "b"
        assert len(a.asked) == 1


async def test_f9c_no_credit_is_the_operators_problem() -> None:
    async def arrears(asked: Asked) -> None:
        await asked.whole(b'{"error":{"message":"Access denied","code":"Arrearage","type":"Arrearage"}}', 400)

    async with scripted(arrears) as engine, bridge(engine="cloud", api_key="k", cloud_url=engine.url) as server:
        answer = await server.chat()
        assert (answer.status, answer.json["error"]["code"]) == (503, "Arrearage")
        assert len(engine.asked) == 1


async def test_f10_failing_engines_get_at_most_their_share_of_retries() -> None:
    async def fail(asked: Asked) -> None:
        await asked.whole(b"{}", 500)

    async with scripted(fail) as engine, bridge(engine="http", engine_url=engine.url) as server:
        answers = await asyncio.gather(*[server.chat() for _ in range(30)])
        assert {answer.status for answer in answers} <= {500, 502, 503}
        assert len(engine.asked) <= 30 * 1.2 + 3


async def test_f12_garbage_in_the_stream_is_said_and_garbage_at_its_start_is_retried() -> None:
    async def garbage(asked: Asked) -> None:
        await asked.events(ROLE + HELLO, b"data: {oops\n\n", FINISH)

    async def at_once(asked: Asked) -> None:
        await asked.events(b"data: <html>\n\n")

    async with scripted(garbage) as engine, bridge(engine="http", engine_url=engine.url) as server:
        answer = await server.chat(stream=True)
        assert answer.body.startswith(ROLE + HELLO)
        assert "not JSON" in _error(answer.body)["message"]
        native = {"model": "m", "input": {"prompt": "hi"}, "parameters": {"incremental_output": True}}
        headers = {"x_dashscope_sse": "enable"}
        flat = await server.ask("/api/v1/services/aigc/text-generation/generation", native, **headers)
        assert "你好" in flat.body.decode(), "what came before it is delivered"
        assert flat.body.count(b"event:error") == 1
    async with scripted(at_once, Asked.events) as engine, bridge(engine="http", engine_url=engine.url) as server:
        assert (await server.chat(stream=True, stream_options={"include_usage": True})).body == ANSWER


async def test_f13_an_endless_event_is_cut_off() -> None:
    async def endless(asked: Asked) -> None:
        await asked.begin()
        await asked.piece(ROLE + HELLO + b"data: ")
        for _ in range(80):
            await asked.piece(b"x" * 65536)

    async with scripted(endless) as engine, bridge(engine="http", engine_url=engine.url) as server:
        answer = await server.chat(stream=True)
        assert "4 MiB" in _error(answer.body)["message"]


async def test_f15_a_page_of_html_is_not_an_answer() -> None:
    async def portal(asked: Asked) -> None:
        page = b"<html>log in</html>"
        await asked.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n%s" % (len(page), page)
        )

    async with scripted(portal, Asked.whole) as engine, bridge(engine="http", engine_url=engine.url) as server:
        assert (await server.chat()).body == WHOLE
    async with scripted(portal) as engine, bridge(engine="http", engine_url=engine.url) as server:
        assert (await server.chat()).status == 502


async def test_f15_an_error_with_status_200_before_the_first_event_fails_over() -> None:
    async def error(asked: Asked) -> None:
        await asked.events(b'data: {"error":{"message":"overloaded","code":"internal_error"}}\n\n')

    async with scripted(error) as a, scripted(Asked.events) as b, bridge(**_two(a.url, b.url)) as server:
        assert (await server.chat(stream=True)).headers["x-qiao-engine"] == "b"


async def test_f16_absurd_usage_changes_nothing_for_the_client() -> None:
    absurd = USAGE.replace(b'"prompt_tokens":9', b'"prompt_tokens":-9')

    async def lie(asked: Asked) -> None:
        await asked.events(ROLE + HELLO + FINISH + absurd + DONE)

    async with scripted(lie) as engine, bridge(engine="http", engine_url=engine.url) as server:
        answer = await server.chat(stream=True, stream_options={"include_usage": True})
        assert answer.body == ROLE + HELLO + FINISH + absurd + DONE


async def test_f17_what_follows_done_is_not_the_answer() -> None:
    async def twice(asked: Asked) -> None:
        await asked.events(ANSWER + HELLO, HELLO)

    async with scripted(twice) as engine, bridge(engine="http", engine_url=engine.url) as server:
        assert (await server.chat(stream=True, stream_options={"include_usage": True})).body == ANSWER


async def test_f19_an_encoded_answer_is_refused() -> None:
    async def gzip(asked: Asked) -> None:
        await asked.whole(b"\x1f\x8b", content_encoding="gzip")

    async with scripted(gzip) as engine, bridge(engine="http", engine_url=engine.url) as server:
        assert (await server.chat()).status == 502
        assert engine.asked[0].headers["accept-encoding"] == "identity"


async def test_a_redirect_is_not_followed() -> None:
    async with scripted(Asked.whole) as trap:

        async def redirect(asked: Asked) -> None:
            await asked.send(b"HTTP/1.1 302 Found\r\nlocation: %s\r\ncontent-length: 0\r\n\r\n" % trap.url.encode())

        async with scripted(redirect) as engine, bridge(engine="cloud", api_key="k", cloud_url=engine.url) as server:
            assert (await server.chat()).status == 502
            assert trap.asked == []


async def test_a_pooled_connection_that_died_is_replaced_without_a_word() -> None:
    async def once(asked: Asked) -> None:
        await asked.whole()
        asked.reset()

    async with scripted(once) as engine, bridge(engine="http", engine_url=engine.url) as server:
        for _ in range(4):
            assert (await server.chat()).status == 200
        assert len(engine.asked) == 4


async def test_every_call_fails_over_while_another_engine_is_well() -> None:
    async def fail(asked: Asked) -> None:
        await asked.whole(b"{}", 500)

    async with scripted(fail) as a, scripted(Asked.whole) as b, bridge(**_two(a.url, b.url)) as server:
        answers = [await server.chat() for _ in range(12)]
        assert {answer.status for answer in answers} == {200}
        assert len(a.asked) == 5, "the breaker opens after five failures"


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "model_not_found"), (401, "invalid_api_key"), (400, "Arrearage"), (403, "AllocationQuota.FreeTierOnly")],
)
async def test_what_one_engine_cannot_answer_another_may(status: int, code: str) -> None:
    async def cannot(asked: Asked) -> None:
        await asked.whole(json.dumps({"error": {"message": "no", "code": code}}).encode(), status)

    async with scripted(cannot) as a, scripted(Asked.whole) as b, bridge(**_two(a.url, b.url)) as server:
        assert (await server.chat()).headers["x-qiao-engine"] == "b"
    async with scripted(cannot) as a, bridge(engines=[{"name": "a", "kind": "openai", "url": a.url}]) as server:
        assert (await server.chat()).status in {status, 503}
        assert len(a.asked) == 1, "it is not asked again"
