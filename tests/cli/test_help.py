"""Help, languages and command lines that are wrong."""

from __future__ import annotations

import ast
import json
import re
import string
import subprocess
import sys
from pathlib import Path

import pytest

import qiao as package
from qiao.cli import chinese, english, simulate, text
from qiao.cli import help as help_page
from qiao.cli.options import COMMANDS
from qiao.engines import faults, local, simulator
from tests.cli.conftest import Run

CLI = Path(package.__file__).parent / "cli"


def test_help_imports_little(environment: dict[str, str]) -> None:
    """The bar is 150 ms; what costs time are imports, and they can be counted."""
    program = """
import sys
before = set(sys.modules)
from qiao.cli import main
main(["--help"])
import json
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    modules = json.loads(ended.stdout.splitlines()[-1])
    heavy = {"rich", "pydantic", "prompt_toolkit", "asyncio", "ssl", "http.client", "msgspec", "starlette", "uvicorn"}
    assert not heavy & set(modules)
    assert len(modules) < 170


@pytest.mark.parametrize("command", [None, *COMMANDS])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_command_has_help_in_both_languages(qiao: Run, command: str | None, lang: str) -> None:
    ended = qiao(*([command] if command else []), "--help", "--lang", lang, COLUMNS="80")
    assert ended.returncode == 0
    assert ("用法：" in ended.stdout) == (lang == "zh")
    assert "--lang zh|en" in ended.stdout
    assert max(help_page.cells(line) for line in ended.stdout.splitlines()) <= 80


def test_help_lists_every_option_of_a_command(qiao: Run) -> None:
    shown = qiao("serve", "--help").stdout
    for option in (
        "--host",
        "--port",
        "--config",
        "--engine",
        "--cloud-url",
        "--engine-url",
        "--engine-key",
        "--model",
    ):
        assert option in shown


def test_without_a_command_the_help_is_shown(qiao: Run) -> None:
    assert qiao().stdout == qiao("-h").stdout


@pytest.mark.parametrize(
    ("variables", "chinese_spoken"),
    [
        ({"LANG": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW.UTF-8"}, True),
        ({"LANG": "en_US.UTF-8", "QIAO_LANG": "zh"}, True),
        ({"LANG": "zh_CN.UTF-8", "QIAO_LANG": "en"}, False),
        ({"LANG": ""}, False),
    ],
)
def test_the_locale_chooses_the_language(qiao: Run, variables: dict[str, str], chinese_spoken: bool) -> None:
    assert ("启动服务" in qiao("--help", **variables).stdout) == chinese_spoken


def test_the_option_for_the_language_stands_anywhere_before_a_double_dash() -> None:
    assert text.take_option(["ask", "hi", "--lang", "zh"]) == ("zh", ["ask", "hi"])
    assert text.take_option(["--lang=zh", "ask"]) == ("zh", ["ask"])
    assert text.take_option(["ask", "--", "--lang", "zh"]) == (None, ["ask", "--", "--lang", "zh"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["srve"], "did you mean serve?"),
        (["nothing"], "there are: serve chat ask"),
        (["ask", "--modle", "x"], "did you mean --model?"),
        (["serve", "--port", "many"], "the value of --port is not <int>"),
        (["serve", "--engine", "magic"], "the value of --engine is not <cloud|http|local|simulator>"),
        (["serve", "--port"], "the option --port needs a value"),
        (["simulate", "--rate", "-1"], "the value of --rate is not"),
        (["--lang", "fr"], "the value of --lang is not zh|en"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(qiao: Run, arguments: list[str], said: str) -> None:
    ended = qiao(*arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stdout == ""


def test_a_wrong_command_line_is_explained_in_chinese(qiao: Run) -> None:
    assert "没有命令 'srve'；是不是想用 serve？" in qiao("srve", "--lang", "zh").stderr


def test_both_languages_say_the_same_things() -> None:
    assert chinese.TEXT.keys() == english.TEXT.keys()
    for key, sentence in english.TEXT.items():
        assert _fields(sentence) == _fields(chinese.TEXT[key]), key


def test_every_sentence_is_said_and_every_key_is_known() -> None:
    said, patterns = _keys_in_code()
    assert said <= english.TEXT.keys()
    options = {f"{name}.{field}" for name, options in COMMANDS.items() for field in options.__dataclass_fields__}
    options |= {f"{name}.help" for name in COMMANDS} | {"qiao.help", "option.help", "option.version"}
    options |= {f"option.{key.partition('.')[2]}" for key in options}
    unused = [
        key
        for key in english.TEXT
        if key not in said | options and not any(re.fullmatch(pattern, key) for pattern in patterns)
    ]
    assert unused == []


def test_chinese_wraps_by_columns_and_keeps_punctuation() -> None:
    lines = help_page.wrap("监听地址（默认 127.0.0.1），非本机地址必须设置密钥。", 20)
    assert all(help_page.cells(line) <= 20 for line in lines)
    assert not any(line.startswith(("，", "。", "）")) for line in lines)


def test_the_servers_notices_are_known_in_both_languages() -> None:
    for notice in (local.NOTICE, simulator.NOTICE):
        text.speak("zh")
        assert text.notice(notice) != notice
    text.speak("en")


def test_every_fault_of_the_simulator_is_listed() -> None:
    listed = {fault.partition(";")[0] for fault in simulate.FAULTS}
    assert listed == faults.REFUSALS | faults.ONCE | faults.STREAMED


def test_faults_can_be_listed_without_a_server(qiao: Run) -> None:
    ended = qiao("simulate", "--faults", "--lang", "zh")
    assert ended.returncode == 0
    assert "qwen-plus!429;retry_after=2" in ended.stdout
    assert "中途断开连接" in ended.stdout


def _fields(sentence: str) -> set[str]:
    return {name.partition("!")[0] for _, name, _, _ in string.Formatter().parse(sentence) if name}


def _keys_in_code() -> tuple[set[str], set[str]]:
    """The keys given to say(), and patterns of those that are put together."""
    said: set[str] = {"notice.demo", "notice.simulator"}
    patterns: set[str] = set()
    for path in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "say":
                _note_key(node.args[0], said, patterns)
    return said, patterns


def _note_key(key: ast.expr, said: set[str], patterns: set[str]) -> None:
    match key:
        case ast.Constant(value=str(value)):
            said.add(value)
        case ast.JoinedStr(values=values):
            pieces = [re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in values]
            patterns.add("".join(pieces))
        case ast.BinOp(left=ast.Constant(value=str(value))):
            patterns.add(re.escape(value) + ".+")
        case ast.IfExp(body=body, orelse=orelse):
            _note_key(body, said, patterns)
            _note_key(orelse, said, patterns)
        case _:
            """A key in a variable is checked where it is written down."""
