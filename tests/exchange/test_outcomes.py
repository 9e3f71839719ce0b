"""Every outcome of a call, streamed or not, relayed or translated, is settled once."""

import asyncio
import json

import pytest

from tests.stage import DONE, FINISH, HELLO, ROLE, USAGE, Asked, Bridge, bridge, scripted

pytestmark = pytest.mark.anyio
NATIVE = "/api/v1/services/aigc/text-generation/generation"
MESSAGES = [{"role": "user", "content": "你好"}]


async def answered(asked: Asked) -> None:
    if asked.json.get("stream"):
        await asked.events(ROLE + HELLO, FINISH + USAGE + DONE)
    else:
        await asked.whole()


async def refused(asked: Asked) -> None:
    await asked.whole(b'{"error":{"message":"bad n","code":"invalid_parameter_error"}}', 400)


async def broken(asked: Asked) -> None:
    if asked.json.get("stream"):
        await asked.begin()
        await asked.piece(ROLE + HELLO)
        await asyncio.sleep(0.05)
    asked.reset()


async def endless(asked: Asked) -> None:
    if asked.json.get("stream"):
        await asked.begin()
        await asked.piece(ROLE + HELLO)
    await asked.gone()


SCRIPTS = {"complete": answered, "refused": refused, "broken": broken, "gone": endless, "cut": endless}


def request(protocol: str, stream: bool) -> bytes:
    """The raw request."""
    if protocol == "openai":
        path, body, extra = "/v1/chat/completions", {"model": "m", "messages": MESSAGES, "stream": stream}, ""
    else:
        path, body = NATIVE, {"model": "m", "input": {"messages": MESSAGES}}
        extra = "x-dashscope-sse: enable\r\n" if stream else ""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{extra}content-length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def call(server: Bridge, sent: bytes, outcome: str, stream: bool) -> bytes:
    """Send a request, do what the outcome needs, and return all that came."""
    reader, writer = await asyncio.open_connection(server.url.host, server.url.port)
    writer.write(sent)
    got = b""
    if outcome in {"gone", "cut"}:
        if stream:
            got = await reader.readuntil(b"\n\n")
        await asyncio.sleep(0.1)
        if outcome == "gone":
            writer.close()
            await asyncio.sleep(0.2)
            return got
        server.server.stop()
        server.server.stop()
    got += await reader.read()
    writer.close()
    return got


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("protocol", ["openai", "dashscope"])
@pytest.mark.parametrize("outcome", SCRIPTS)
async def test_a_call_is_settled_once_whatever_happens(
    outcome: str, protocol: str, stream: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    async with (
        scripted(SCRIPTS[outcome]) as engine,
        bridge(engines=[{"name": "gpu", "kind": "openai", "url": engine.url}], log_calls=True) as server,
    ):
        got = await call(server, request(protocol, stream), outcome, stream)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"outcome"' in line]
    assert len(lines) == 1, lines
    settled = lines[0]
    expected = {"broken": "broken" if stream else "refused", "cut": "cut" if stream else "gone"}
    assert settled["outcome"] == expected.get(outcome, outcome)
    assert (settled["protocol"], settled["stream"], settled["model"]) == (protocol, stream, "m")
    if outcome == "complete":
        assert (settled["input"], settled["output"]) == (9, 2)
        assert settled.get("answer_id") == ("up1" if protocol == "openai" else None), "the id that the client saw"
    if outcome in {"complete", "refused"}:
        assert (settled["engine"], settled["attempts"]) == ("gpu", 1)
    if outcome == "cut":
        assert b"stopping" in got, "nobody is cut bare"
    if outcome == "broken" and stream:
        assert (b"event:error" if protocol == "dashscope" else b'data: {"error"') in got
