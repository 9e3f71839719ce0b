"""`qiao chat` on a terminal and in a pipe."""

from __future__ import annotations

import json
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.stub import Request, Response, Stub, event, refusal, stream
from tests.cli.terminal import ALT_ENTER, CTRL_C, CTRL_D, ENTER, TAB, Terminal

Open = Callable[..., Terminal]
PROMPT = "›"


def echo(request: Request) -> Response:
    """Say how many messages came and what the last one was."""
    messages = request.json["messages"]
    return stream({"content": f"{len(messages)}: {messages[-1]['content']}"}, **{"x-qiao-engine": "local"})


@pytest.fixture
def talk(terminal: Open, stub: Stub) -> Callable[..., Terminal]:
    """A chat with the stub, at its first prompt."""

    def start(*arguments: str, **variables: str) -> Terminal:
        opened = terminal("chat", "--url", stub.url, *arguments, **variables)
        opened.wait(PROMPT)
        return opened

    stub.chats(echo)
    return start


def test_a_conversation_has_several_turns(talk: Open, stub: Stub) -> None:
    chat = talk("--system", "be kind")
    chat.say("one")
    chat.wait("2: one")
    chat.wait("no cost")
    chat.wait(PROMPT)
    chat.say("two")
    chat.wait("4: two")
    chat.wait(PROMPT)
    chat.type(CTRL_D)
    assert chat.end() == 0
    roles = [message["role"] for message in stub.requests[-1].json["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_ctrl_c_stops_the_answer_and_keeps_what_has_come(talk: Open, stub: Stub) -> None:
    gone = threading.Event()

    def endless(_: Request) -> Response:
        def pieces() -> Iterator[bytes]:
            yield event({"content": "begun"})
            try:
                for _ in range(600):
                    time.sleep(0.05)
                    yield b": keep-alive\n\n"
            finally:
                gone.set()

        return Response(200, pieces(), {"content-type": "text/event-stream"})

    stub.chats(endless, echo)
    chat = talk()
    chat.say("count to a million")
    chat.wait("begun")
    chat.type(CTRL_C)
    chat.wait("Stopped.")
    chat.wait(PROMPT)
    assert gone.wait(10), "the connection was not closed"
    chat.say("go on")
    chat.wait("3: go on")
    assert stub.requests[-1].json["messages"][1] == {"role": "assistant", "content": "begun"}


def test_ctrl_c_before_the_first_byte_takes_the_question_back(talk: Open, stub: Stub) -> None:
    waiting = threading.Event()

    def late(_: Request) -> Response:
        waiting.wait(30)
        return stream({"content": "late"})

    stub.chats(late, echo)
    chat = talk()
    chat.say("anybody?")
    time.sleep(1)
    chat.type(CTRL_C)
    chat.wait("Stopped.")
    waiting.set()
    chat.wait(PROMPT)
    chat.say("again")
    chat.wait("1: again")


def test_ctrl_c_at_the_prompt_does_not_leave(talk: Open) -> None:
    chat = talk()
    chat.type("half a question", CTRL_C)
    chat.wait("Ctrl-D or /exit leaves.")
    chat.wait(PROMPT)
    chat.say("/exit")
    assert chat.end() == 0


def test_retry_asks_the_last_question_again(talk: Open, stub: Stub) -> None:
    stub.chats(stream({"content": "first"}), stream({"content": "second"}), echo)
    chat = talk()
    chat.say("/retry")
    chat.wait("There is no question")
    chat.wait(PROMPT)
    chat.say("question")
    chat.wait("first")
    chat.wait(PROMPT)
    chat.say("/retry")
    chat.wait("second")
    assert stub.requests[-1].json["messages"] == [{"role": "user", "content": "question"}]


def test_an_error_is_a_sentence_and_retry_asks_again(talk: Open, stub: Stub) -> None:
    stub.chats(refusal(429, "slow down", **{"retry-after": "3"}), echo)
    chat = talk()
    chat.say("hello")
    chat.wait("busy: slow down Try again in 3 s.")
    chat.wait(PROMPT)
    chat.say("/retry")
    chat.wait("1: hello")


def test_model_system_and_clear_change_what_is_sent(talk: Open, stub: Stub) -> None:
    chat = talk()
    chat.say("/model")
    chat.wait("The model is qwen-plus.")
    chat.say("/model qwen-max")
    chat.wait("The model is now qwen-max.")
    chat.say("/model nonsense")
    chat.wait("the server does not list it")
    chat.say("/model qwen-max")
    chat.say("/system you are a bridge")
    chat.wait("System message: you are a bridge")
    chat.say("one")
    chat.wait("2: one")
    chat.say("/clear")
    chat.wait("Forgotten.")
    chat.say("two")
    chat.wait("2: two")
    chat.say("/system -")
    chat.wait("There is no system message.")
    chat.say("three")
    chat.wait("3: three")
    assert stub.requests[-1].json["model"] == "qwen-max"


def test_a_conversation_is_saved_and_loaded(talk: Open, tmp_path: Path) -> None:
    file = tmp_path / "bridge.json"
    chat = talk("--system", "s")
    chat.say("one")
    chat.wait("2: one")
    chat.say(f"/save {file}")
    chat.wait("Saved 2 messages")
    saved = json.loads(file.read_text("utf-8"))
    assert saved == {
        "model": "qwen-plus",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "2: one"},
        ],
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bridge.json", "state"]
    again = talk("--load", str(file))
    again.say("two")
    again.wait("4: two")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("/load", "Name a file: /load FILE"),
        ("/load /nowhere/x.json", "cannot be read"),
        ("/save /nowhere/x.json", "cannot be written"),
        ("/load bad.json", "is not JSON"),
        ("/load other.json", "no list of messages"),
        ("/lod x", "did you mean /load?"),
        ("/help", "/retry          ask the last question again"),
    ],
)
def test_commands_that_cannot_be_done_say_why(qiao: Run, stub: Stub, tmp_path: Path, command: str, said: str) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "other.json").write_text('{"messages": [{"role": "robot", "content": "x"}]}')
    ended = qiao("chat", "--url", stub.url, stdin=f"{command}\n")
    assert ended.returncode == 0
    assert said in ended.stdout + ended.stderr


def test_a_path_is_not_a_command(talk: Open) -> None:
    chat = talk()
    chat.say("/etc/hosts is what?")
    chat.wait("1: /etc/hosts is what?")


def test_several_lines_are_one_question(talk: Open, stub: Stub) -> None:
    chat = talk()
    chat.type("first", ALT_ENTER, "second", ENTER)
    chat.wait("1: first")
    chat.wait(PROMPT)
    assert stub.requests[-1].json["messages"][0]["content"] == "first\nsecond"
    chat.type("\x1b[200~pasted\nlines\x1b[201~", ENTER)
    chat.wait("3: pasted")
    chat.wait(PROMPT)
    assert stub.requests[-1].json["messages"][2]["content"] == "pasted\nlines"


def test_commands_and_models_are_completed(talk: Open) -> None:
    chat = talk()
    chat.type("/mod", TAB)
    chat.wait("/model")
    chat.type(" qwen-m", TAB)
    chat.wait("qwen-max")
    chat.type(ENTER)
    chat.wait("The model is now qwen-max.")


def test_the_history_outlives_the_chat_for_its_owner_only(talk: Open, tmp_path: Path) -> None:
    chat = talk()
    chat.say("remember me")
    chat.wait("1: remember me")
    chat.wait(PROMPT)
    chat.type(CTRL_D)
    chat.end()
    history = tmp_path / "state" / "chat_history"
    assert "remember me" in history.read_text("utf-8")
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    again = talk()
    again.type("\x1b[A")
    again.wait("remember me")


def test_markdown_is_shown_as_it_looks_and_thoughts_before_it(talk: Open, stub: Stub) -> None:
    answer = "# Bridges\n\nThey **carry** words:\n\n- one\n- two\n\n```python\nprint(1)\n```\n\nEnd."
    pieces = [{"content": character} for character in answer]
    stub.chats(stream({"reasoning_content": "let me think"}, *pieces))
    chat = talk()
    chat.say("tell")
    chat.wait("End.")
    chat.wait(PROMPT)
    assert b"\x1b[2mlet me think" in chat.raw
    assert "**carry**" not in chat.shown
    assert "• one" in chat.shown
    assert "```" not in chat.shown


def test_a_long_answer_is_written_once(talk: Open, stub: Stub) -> None:
    """Only the block in progress is drawn again: the bytes grow with the answer, not with its square."""
    paragraphs = [f"Paragraph {number} of the answer.\n\n" for number in range(120)]
    stub.chats(stream(*({"content": paragraph} for paragraph in paragraphs)))
    chat = talk()
    chat.say("tell")
    chat.wait("Paragraph 119")
    chat.wait(PROMPT)
    assert len(chat.raw) < 120 * 400
    assert chat.shown.count("Paragraph 7 of") <= 3


def test_a_pipe_gets_plain_lines(qiao: Run, stub: Stub) -> None:
    stub.chats(stream({"reasoning_content": "hmm"}, {"content": "**a**"}), echo)
    ended = qiao("chat", "--url", stub.url, "--lang", "zh", stdin="一\n\n二\n")
    assert ended.returncode == 0
    assert "\x1b" not in ended.stdout
    assert "[思考] hmm\n\n**a**\n" in ended.stdout
    assert "3: 二\n" in ended.stdout


def test_a_state_folder_that_cannot_be_written_costs_only_the_history(talk: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    chat = talk(QIAO_HOME=str(tmp_path / "file"))
    assert "What you type will not be remembered" in chat.shown
    chat.say("hello")
    chat.wait("1: hello")


def test_the_real_server_is_chatted_with(terminal: Open, simulator: str) -> None:
    chat = terminal("chat", "--url", simulator, "--lang", "zh")
    chat.wait(PROMPT)
    chat.say("你好")
    chat.wait("模拟器：回答是预先编排的")
    chat.wait("免费 · 首字")
    chat.wait(PROMPT)
    chat.say("/exit")
    assert chat.end() == 0
