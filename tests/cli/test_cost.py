"""`qiao cost`: the bound of a question's cost, from the tokenizer and the price book alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_the_bound_is_told_with_its_sum(qiao: Run) -> None:
    ended = qiao("cost", "--output", "500", "Explain quantum computing")
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[:3] == [
        "qwen-plus, cn-beijing: at most ¥0.0010096",
        "12 tokens of input, up to 500 of output",
        "12 × ¥0.80/M + 500 × ¥2.00/M = ¥0.0010096",
    ]
    assert qiao("cost", "--lang", "zh", stdin="你好").stdout.startswith("qwen-plus，cn-beijing：最多 ¥0.06")


@pytest.mark.parametrize(("think", "output"), [("--no-think", 32_768), ("--think", 32_768 + 81_920)])
def test_without_a_length_it_is_the_longest_answer_that_the_model_gives(qiao: Run, think: str, output: int) -> None:
    ended = qiao("cost", "--json", think, "hello")
    assert json.loads(ended.stdout)["output"] == output


def test_a_region_and_own_prices_count(qiao: Run, tmp_path: Path) -> None:
    (tmp_path / "qiao.toml").write_text(
        '[prices]\ndollar = 7\n[[prices.models]]\nmodel = "mine"\ncurrency = "USD"\ntiers = [{ input = 1, output = 2 }]\n'
    )
    asked = ["cost", "--json", "--output", "1", "hello"]
    assert json.loads(qiao(*asked, "--model", "mine").stdout)["nano_yuan"] == (9 * 1_000 + 2_000) * 7
    abroad = json.loads(qiao(*asked, "--region", "singapore").stdout)
    assert (abroad["region"], abroad["nano_yuan"]) == ("ap-southeast-1", (9 * 400 + 1_200) * 7)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "There is no question"),
        (["--model", "nobody-knows", "hello"], 1, "The price of nobody-knows in cn-beijing is not known"),
        (["--region", "mars", "hello"], 2, "unknown region 'mars'"),
        (["--config", "none.toml", "hello"], 2, "there is no file none.toml"),
    ],
)
def test_what_cannot_be_told_says_why(qiao: Run, arguments: list[str], code: int, said: str) -> None:
    ended = qiao("cost", *arguments)
    assert (ended.returncode, said in ended.stderr) == (code, True)


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ("[]", "prices.models.0.tiers"),
        ("[{ up_to = 5, input = 1, output = 1 }]", "ascending up_to"),
        ("[{ input = 1, output = 1 }, { input = 2, output = 2 }]", "ascending up_to"),
        ("[{ input = -1, output = 1 }]", "greater than or equal to 0"),
        ("[{ input = 0.00001, output = 1 }]", "not whole in billionths"),
        ("[{ inptu = 1, input = 1, output = 1 }]", "inptu"),
    ],
)
def test_a_mistake_in_an_own_price_is_said(qiao: Run, tmp_path: Path, tiers: str, said: str) -> None:
    (tmp_path / "qiao.toml").write_text(f'[[prices.models]]\nmodel = "m"\ntiers = {tiers}\n')
    ended = qiao("cost", "hello")
    assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr
