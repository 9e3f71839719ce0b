"""`qiao ask` and `qiao models`: what is sent, what is printed, and every way it can fail."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qiao.cli import place
from tests.cli.conftest import COMMAND, Run
from tests.cli.stub import Request, Response, Stub, event, frames, refusal, stream, whole
from tests.cli.terminal import CTRL_C, Terminal

COMPLETION = {"id": "chatcmpl-1", "choices": [{"message": {"content": "你好"}, "finish_reason": "stop"}]}
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 32


def test_the_answer_alone_is_printed(qiao: Run, stub: Stub) -> None:
    stub.chats(stream({"content": "你"}, {"content": "好"}))
    ended = qiao("ask", "hello", "there", "--url", stub.url)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("你好\n", "", 0)
    sent = stub.requests[0].json
    assert sent["messages"] == [{"role": "user", "content": "hello there"}]
    assert sent["model"] == "qwen-plus"
    assert sent["stream_options"] == {"include_usage": True}
    assert "enable_thinking" not in sent


def test_standard_input_follows_the_question(qiao: Run, stub: Stub) -> None:
    stub.chats(stream({"content": "ok"}))
    qiao("ask", "sum up:", "--url", stub.url, stdin="一些文字\n")
    qiao("ask", "--url", stub.url, stdin="only this")
    contents = [request.json["messages"][0]["content"] for request in stub.requests]
    assert contents == ["sum up:\n\n一些文字", "only this"]


def test_nothing_to_ask_is_a_wrong_command_line(qiao: Run, stub: Stub) -> None:
    ended = qiao("ask", "--url", stub.url)
    assert ended.returncode == 2
    assert "There is no question" in ended.stderr


def test_json_prints_the_servers_bytes(qiao: Run, stub: Stub) -> None:
    body = b'{"id":"chatcmpl-1","choices":[{"message":{"content":"\xe4\xbd\xa0"}}],  "n":1.50}'
    stub.chats(Response(200, [body]))
    ended = qiao("ask", "hi", "--json", "--url", stub.url)
    assert ended.stdout.encode() == body + b"\n"
    assert stub.requests[0].json["stream"] is False


def test_options_reach_the_server(qiao: Run, stub: Stub) -> None:
    stub.chats(whole(COMPLETION))
    ended = qiao("ask", "hi", "--no-stream", "--no-think", "-m", "qwen-max", "-s", "be brief", "--url", stub.url)
    assert ended.stdout == "你好\n"
    sent = stub.requests[0].json
    assert sent["stream"] is False
    assert sent["enable_thinking"] is False
    assert sent["model"] == "qwen-max"
    assert sent["messages"][0] == {"role": "system", "content": "be brief"}


def test_a_piped_answer_has_no_thoughts(qiao: Run, stub: Stub) -> None:
    stub.chats(stream({"content": None, "reasoning_content": "hmm"}, {"content": "42", "reasoning_content": None}))
    assert qiao("ask", "hi", "--think", "--url", stub.url).stdout == "42\n"
    assert stub.requests[0].json["enable_thinking"] is True


def test_images_are_sent_as_data_or_by_address(qiao: Run, stub: Stub, tmp_path: Path) -> None:
    stub.chats(stream({"content": "a cat"}))
    (tmp_path / "cat.png").write_bytes(PNG)
    qiao("ask", "what?", "-i", "cat.png", "-i", "https://example.com/dog.jpg", "--url", stub.url)
    sent = stub.requests[0].json
    assert sent["model"] == "qwen3-vl-plus"
    urls = [part["image_url"]["url"] for part in sent["messages"][0]["content"][:2]]
    assert urls == [f"data:image/png;base64,{base64.b64encode(PNG).decode()}", "https://example.com/dog.jpg"]
    assert sent["messages"][0]["content"][2] == {"type": "text", "text": "what?"}


@pytest.mark.parametrize(("name", "said"), [("none.png", "cannot be read"), ("notes.txt", "is not an image")])
def test_an_image_that_cannot_be_sent_is_a_wrong_command_line(qiao: Run, stub: Stub, name: str, said: str) -> None:
    ended = qiao("ask", "what?", "--image", name, "--url", stub.url)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert stub.requests == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refusal(401, "Incorrect API key provided.", "invalid_api_key"), "wants a key: give it with --key or QIAO_KEY"),
        (refusal(403, "no access"), "may not do this: no access"),
        (refusal(404, "The model `x` does not exist.", "model_not_found"), "`qiao models` lists what there is"),
        (refusal(404, "nothing here"), "does not answer on this path"),
        (refusal(413, "16 MiB"), "too large: 16 MiB"),
        (refusal(429, "slow down", **{"retry-after": "7"}), "busy: slow down Try again in 7 s."),
        (refusal(400, "top_p is wrong"), "cannot use this question: top_p is wrong"),
        (refusal(500, "oops"), "failed (500): oops"),
        (Response(400, [b'data: {"error":{"message":"as an event","code":"x"}}\n\n']), "as an event"),
        (Response(502, [b"<html>bad gateway</html>"]), "failed (502): <html>bad gateway</html>"),
        (whole({"code": "Throttling", "message": "native"}, 429), "busy: native"),
        (whole({"hello": 1}), "ended before it was complete"),
        (Response(200, [b"<html>sign in</html>"], {"content-type": "text/html"}), "not the Qwen API"),
        (Response(200, [b"data: oops\n\n"], {"content-type": "text/event-stream"}), "not the Qwen API"),
        (Response(200, [event({"content": "a"})], {"content-type": "text/event-stream"}), "before it was complete"),
        (stream(b'data: {"error":{"message":"broke","code":"x"}}\n\n'), "broken off: broke"),
    ],
)
def test_a_failure_is_one_sentence_and_exit_code_1(qiao: Run, stub: Stub, answer: Response, said: str) -> None:
    stub.chats(answer)
    ended = qiao("ask", "hi", "--url", stub.url)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_connection_that_breaks_keeps_what_has_come(qiao: Run, stub: Stub) -> None:
    def breaks(_: Request) -> Response:
        def pieces():
            yield event({"content": "half"})
            raise ConnectionResetError

        return Response(200, pieces(), {"content-type": "text/event-stream"})

    stub.chats(breaks)
    ended = qiao("ask", "hi", "--url", stub.url)
    assert ended.stdout == "half\n"
    assert ended.returncode == 1
    assert "broke (closed early)" in ended.stderr


def test_a_server_that_is_not_there_is_named(qiao: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    ended = qiao("ask", "hi", "--url", url)
    assert ended.returncode == 1
    assert "(connection refused). Is the server running" in ended.stderr
    assert "对方拒绝连接" in qiao("ask", "hi", "--url", url, "--lang", "zh").stderr


def test_a_name_that_does_not_exist_is_said_to_be_unknown(qiao: Run) -> None:
    assert "is not known to the network" in qiao("ask", "hi", "--url", "http://qiao.invalid").stderr


def test_tls_with_something_else_is_told_apart(qiao: Run, stub: Stub) -> None:
    ended = qiao("ask", "hi", "--url", stub.url.replace("http", "https"))
    assert "No secure connection" in ended.stderr


def test_no_server_and_no_key_says_how_to_get_one(qiao: Run) -> None:
    ended = qiao("ask", "hi")
    assert ended.returncode == 1
    assert "start one with `qiao serve`" in ended.stderr


def test_an_address_that_is_none_is_a_wrong_command_line(qiao: Run) -> None:
    assert qiao("ask", "hi", "--url", "http://:80").returncode == 2
    assert "is not an address" in qiao("ask", "hi", "--url", "ftp://host").stderr


def test_a_running_qiao_is_found_by_its_port(qiao: Run, stub: Stub) -> None:
    stub.answers["/healthz"] = whole({"status": "ok", "server": "qiao"})
    stub.chats(stream({"content": "here"}))
    ended = qiao("ask", "hi", QIAO_PORT=str(stub.port), QIAO_KEYS="first, second", DASHSCOPE_API_KEY="sk-cloud")
    assert ended.stdout == "here\n"
    assert stub.requests[-1].key == "Bearer first"


def test_the_cloud_is_asked_with_its_key_where_nothing_runs(qiao: Run, stub: Stub) -> None:
    stub.chats(stream({"content": "cloud"}))
    ended = qiao("ask", "hi", QIAO_CLOUD_URL=stub.url, DASHSCOPE_API_KEY="sk-cloud", QIAO_KEY="client")
    assert ended.stdout == "cloud\n"
    assert stub.requests[-1].key == "Bearer sk-cloud"


def test_the_clouds_key_goes_to_no_other_server(qiao: Run, stub: Stub) -> None:
    stub.chats(stream({"content": "x"}))
    qiao("ask", "hi", "--url", stub.url, DASHSCOPE_API_KEY="sk-cloud")
    qiao("ask", "hi", QIAO_URL=stub.url, DASHSCOPE_API_KEY="sk-cloud", QIAO_KEY="client")
    qiao("ask", "hi", "--url", stub.url, "--key", "given", QIAO_KEY="client")
    assert [request.key for request in stub.requests] == [None, "Bearer client", "Bearer given"]


@pytest.mark.parametrize(
    ("url", "cloud"),
    [
        ("https://dashscope.aliyuncs.com", True),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", True),
        ("https://ws-1.cn-beijing.maas.aliyuncs.com", True),
        ("http://dashscope.aliyuncs.com", False),
        ("https://dashscope.aliyuncs.com.evil.example", False),
        ("https://evilmaas.aliyuncs.com", False),
        ("https://evil.example/dashscope.aliyuncs.com", False),
        ("https://dashscope.aliyuncs.com@evil.example", False),
    ],
)
def test_only_the_clouds_hosts_over_tls_are_the_cloud(url: str, cloud: bool) -> None:
    assert place.is_cloud(url) is cloud


def test_the_servers_own_keys_stay_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIAO_KEYS", "secret")
    monkeypatch.delenv("QIAO_KEY", raising=False)
    assert place.find(place.Where(url="http://qiao.example:8000")).key is None
    assert place.find(place.Where(url="http://127.0.0.1:9000")).key == "secret"


def test_a_path_of_ones_own_is_kept(qiao: Run, stub: Stub) -> None:
    stub.answers["/v1/chat/completions"] = stream({"content": "v1"})
    assert qiao("ask", "hi", "--url", f"{stub.url}/v1/").stdout == "v1\n"


def test_an_unknown_region_lists_the_regions(qiao: Run) -> None:
    ended = qiao("ask", "hi", "--region", "mars", DASHSCOPE_API_KEY="sk-x")
    assert ended.returncode == 2
    assert "ap-southeast-1" in ended.stderr


def test_a_region_without_a_key_asks_for_the_key(qiao: Run) -> None:
    assert "set DASHSCOPE_API_KEY" in qiao("ask", "hi", "--region", "singapore").stderr


def test_models_are_names_in_a_pipe_and_json_on_request(qiao: Run, stub: Stub) -> None:
    assert qiao("models", "--url", stub.url).stdout == "qwen-plus\nqwen-max\n"
    assert [row["id"] for row in json.loads(qiao("models", "--json", "--url", stub.url).stdout)["data"]] == [
        "qwen-plus",
        "qwen-max",
    ]


def test_a_list_that_is_none_is_said_not_to_be_the_api(qiao: Run, stub: Stub) -> None:
    stub.answers["/compatible-mode/v1/models"] = whole({"data": [{"name": "x"}]})
    ended = qiao("models", "--url", stub.url)
    assert ended.returncode == 1
    assert "not the Qwen API" in ended.stderr


def test_models_are_a_table_with_prices_on_a_terminal(terminal: Callable[..., Terminal], stub: Stub) -> None:
    shown = terminal("models", "--url", stub.url)
    assert shown.end() == 0
    assert "Context" in shown.shown
    assert "¥0.80 / ¥2.00" in shown.shown


def test_an_answer_on_a_terminal_shows_thoughts_and_what_it_took(terminal: Callable[..., Terminal], stub: Stub) -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "prompt_tokens_details": {"cached_tokens": 200},
        "completion_tokens_details": {"reasoning_tokens": 100},
    }
    stub.chats(stream({"reasoning_content": "hmm"}, {"content": "**bold**"}, usage=usage, **{"x-qiao-engine": "cloud"}))
    shown = terminal("ask", "hi", "--url", stub.url)
    assert shown.end() == 0
    assert "hmm" in shown.shown
    assert "**" not in shown.shown
    assert "input 1000 (cached 200) · output 500 (thinking 100) · ¥0.004672 · first token" in shown.shown


def test_a_terminal_shows_what_the_server_does_before_it_answers(terminal: Callable[..., Terminal], stub: Stub) -> None:
    seen = [threading.Event() for _ in range(3)]

    def pieces() -> Iterator[bytes]:
        for said, moment in zip((b"waiting", b"loading", b"512/2048"), seen, strict=True):
            yield b": progress %s\n\n" % said
            moment.wait(10)
        yield b": x-qiao-engine: local\n: x-qiao-notice: built-in demo model, not Qwen\n\n"
        yield from frames({"content": "Hello."})

    stub.chats(Response(200, pieces(), {"content-type": "text/event-stream"}))
    shown = terminal("ask", "hi", "--url", stub.url)
    for words, moment in zip(("Waiting for a turn", "is loading", "█████░░░░░░░░░░░░░░░ 512/2048"), seen, strict=True):
        shown.wait(words)
        moment.set()
    shown.wait("Hello.")
    shown.wait("built-in demo model, not Qwen")
    shown.wait("no cost")
    assert shown.end() == 0
    assert stub.requests[-1].headers["x-qiao-progress"] == "1"


def test_progress_is_not_shown_in_a_pipe_and_not_asked_of_the_cloud(qiao: Run, stub: Stub) -> None:
    stub.chats(stream(b": progress 1/2\n\n: progress odd\n\n: other\n\n", {"content": "Hello."}))
    assert qiao("ask", "hi", "--url", stub.url).stdout == "Hello.\n"
    qiao("ask", "hi", QIAO_CLOUD_URL=stub.url, DASHSCOPE_API_KEY="sk-test")
    assert "x-qiao-progress" not in stub.requests[-1].headers


def test_text_from_outside_cannot_steer_the_terminal(terminal: Callable[..., Terminal], stub: Stub) -> None:
    stub.chats(stream({"content": "a\x1b]0;owned\x07b\x1b[2Jc"}))
    shown = terminal("ask", "hi", "--url", stub.url)
    assert shown.end() == 0
    assert b"owned" in shown.raw
    assert b"\x1b]0;" not in shown.raw
    assert b"\x1b[2J" not in shown.raw


def test_a_stream_cut_at_any_byte_is_read_whole(qiao: Run, stub: Stub) -> None:
    whole_stream = b"".join(frames({"content": "你好，"}, {"content": "world"}))
    stub.chats(Response(200, [bytes([byte]) for byte in whole_stream], {"content-type": "text/event-stream"}))
    assert qiao("ask", "hi", "--url", stub.url).stdout == "你好，world\n"


def test_the_real_server_answers_and_says_that_it_rehearses(qiao: Run, simulator: str) -> None:
    ended = qiao("ask", "你好", "--lang", "zh", "--url", simulator)
    assert ended.returncode == 0
    assert ended.stdout.strip()
    assert "模拟器：回答是预先编排的" in ended.stderr


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("401", "refused the key"),
        ("403", "may not do this"),
        ("404", "does not exist"),
        ("429;retry_after=2", "Try again in 2 s."),
        ("500", "failed (500)"),
        ("503", "failed (503)"),
        ("cut;after=3", "broke (closed early)"),
        ("error;after=3", "broken off"),
    ],
)
def test_the_simulators_faults_are_said_in_one_sentence(qiao: Run, simulator: str, fault: str, said: str) -> None:
    ended = qiao("ask", "tell me a story", "--key", "k", "-m", f"qwen-plus!{fault}", "--url", simulator)
    assert ended.returncode == 1
    assert said in ended.stderr


def test_ctrl_c_ends_a_question_with_130_and_keeps_what_has_come(terminal: Callable[..., Terminal], stub: Stub) -> None:
    def endless(_: Request) -> Response:
        def pieces():
            yield event({"content": "begun"})
            for _ in range(600):
                time.sleep(0.05)
                yield b": keep-alive\n\n"

        return Response(200, pieces(), {"content-type": "text/event-stream"})

    stub.chats(endless)
    asked = terminal("ask", "hi", "--url", stub.url)
    asked.wait("begun")
    asked.type(CTRL_C)
    assert asked.end() == 130
    assert "Traceback" not in asked.shown
    assert asked.shown.rstrip().endswith("begun")


def test_a_reader_that_leaves_is_no_error(environment: dict[str, str], stub: Stub) -> None:
    stub.answers["/compatible-mode/v1/models"] = whole({"data": [{"id": f"model-{n}"} for n in range(50_000)]})
    command = [*COMMAND, "models", "--url", stub.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"model-0\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
