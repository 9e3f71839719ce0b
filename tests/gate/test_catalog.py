"""The catalogue: its rows against the reference's figures, and how names find them."""

import itertools
import re
from dataclasses import replace
from importlib import resources

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qiao.gate.catalog import MAX_NAME, MAX_REMEMBERED, Catalog
from qiao.wire.model import Model, Sampling

CATALOG = Catalog.load()
EVERY = [CATALOG.find(name) for name in CATALOG.names()]
BOOK = """
dated = 2026-01-01
source = "a page"
retired = ["old-*"]
dollar = 7
[searches]
[families.f]
abilities = ["tools"]
[models.m]
like = "f"
"""


@pytest.mark.parametrize(
    ("name", "context", "max_input", "max_thought", "max_output"),
    [
        ("qwen3.8-max", 1_000_000, 991_808, 262_144, 131_072),
        ("qwen3.7-max", 1_000_000, 991_808, 262_144, 65_536),
        ("qwen3.6-plus", 1_000_000, 991_808, 81_920, 65_536),
        ("qwen3.5-plus", 1_000_000, 991_808, 81_920, 65_536),
        ("qwen3-max", 262_144, 258_048, 81_920, 65_536),
        ("qwen-max", 32_768, 30_720, None, 8_192),
        ("qwen-plus", 1_000_000, 997_952, 81_920, 32_768),
        ("qwen-plus-2025-07-14", 131_072, 129_024, 38_912, 16_384),
        ("qwen-long", 10_000_000, 10_000_000, None, 32_768),
        ("qwq-plus", 131_072, 98_304, 32_768, 8_192),
        ("qwen3-vl-plus", 262_144, 260_096, 81_920, 32_768),
        ("qwen-mt-plus", 16_384, 8_192, None, 8_192),
        ("qwen3-32b", 131_072, 129_024, 38_912, 16_384),
        ("qwen3-0.6b", 32_768, 30_720, None, 8_192),
    ],
)
def test_a_row_has_the_published_limits(name, context, max_input, max_thought, max_output):
    row = CATALOG.find(name)
    assert (row.context, row.max_input, row.max_thought, row.max_output) == (
        context,
        max_input,
        max_thought,
        max_output,
    )


def test_thinking_shortens_what_may_go_in_and_out():
    plus, best = CATALOG.find("qwen-plus"), CATALOG.find("qwen3-max")
    assert (plus.input_limit(False), plus.input_limit(True)) == (997_952, 995_904)
    assert (best.output_limit(False), best.output_limit(True)) == (65_536, 32_768)
    assert CATALOG.find("qwen-max").input_limit(True) == 30_720


@pytest.mark.parametrize(
    ("thinking", "names"),
    [
        ("off", "qwen3-max qwen3-max-2026-01-23 qwen3-max-preview qwen-plus qwen-flash qwen-turbo qwen3-vl-plus"),
        ("off", "qwen3-vl-flash qwen3-omni-flash deepseek-v3.1 deepseek-v3.2"),
        ("on", "qwen3.5-plus qwen3.5-flash qwen3.5-397b-a17b qwen3.6-plus qwen3.7-max qwen3.8-flash glm-4.6"),
        ("on", "qwen3-235b-a22b qwen3-32b qwen3-30b-a3b qwen3-14b qwen3-8b qwen3-4b qwen3-1.7b qwen3-0.6b"),
        ("only", "qwen3-next-80b-a3b-thinking qwen3-30b-a3b-thinking-2507 qwq-plus qvq-max deepseek-r1"),
        ("never", "qwen-max qwen3-max-2025-09-23 qwen3-coder-plus qwen-long qwen-math-plus qwen-mt-lite qwen-vl-max"),
        ("never", "qwen3-235b-a22b-instruct-2507 qwen3-next-80b-a3b-instruct"),
    ],
)
def test_a_row_has_the_published_thinking_class(thinking, names):
    assert {CATALOG.find(name).thinking for name in names.split()} == {thinking}


@pytest.mark.parametrize(
    ("name", "path", "result_format", "incremental"),
    [
        ("qwen-plus", "text", "text", False),
        ("qwen-max", "text", "text", False),
        ("qwen3-coder-plus", "text", "text", False),
        ("qwen3-max", "text", "message", True),
        ("qwq-plus", "text", "message", True),
        ("qwen-long", "text", "message", False),
        ("qwen3-8b", "text", "message", True),
        ("qwen3-next-80b-a3b-instruct", "text", "text", True),
        ("qwen3.7-max", "text", "message", True),
        ("qwen3.7-plus", "multimodal", "message", True),
        ("qwen3-vl-plus", "multimodal", "message", True),
        ("qvq-max", "multimodal", "message", True),
        ("qwen-vl-plus", "multimodal", "message", False),
    ],
)
def test_a_row_has_the_native_path_and_defaults(name, path, result_format, incremental):
    row = CATALOG.find(name)
    assert (row.path, row.result_format, row.incremental_output) == (path, result_format, incremental)


def test_the_open_hybrid_models_think_only_in_streams_and_refuse_cumulative_ones():
    row = CATALOG.find("qwen3-32b")
    assert row.stream_to_think
    assert row.cumulative_refused
    assert not row.stream_only
    assert not CATALOG.find("qwen3.7-plus").stream_to_think


def test_sampling_defaults_are_the_vendors():
    assert CATALOG.find("qwen-vl-max").sampling == Sampling(0.01, 0.001, 1, 1.0, 1.5)
    assert CATALOG.find("qwen3.8-max").sampling_thinking == Sampling(1.0, 0.95, 20, 1.0, 0.0)
    assert CATALOG.find("qwq-plus").sampling == Sampling(0.6, 0.95, 40, 1.0, 0.0)
    assert CATALOG.find("qwen-mt-plus").sampling == Sampling()


@pytest.mark.parametrize("suffix", ["2025-12-01", "1201", "latest", "preview", "2026-01-01-preview"])
def test_a_snapshot_without_a_row_is_its_base_under_the_name_asked(suffix):
    assert CATALOG.find(f"qwen-plus-{suffix}") == replace(CATALOG.find("qwen-plus"), name=f"qwen-plus-{suffix}")


def test_a_snapshot_with_a_row_is_that_row():
    assert CATALOG.find("qwen3-max-2025-09-23").thinking == "never"
    assert CATALOG.find("qwen-max-latest").max_input == 129_024
    assert CATALOG.find("qwen-plus-0428").max_input == CATALOG.find("qwen-plus-2025-04-28").max_input == 129_024


def test_a_regional_build_has_no_price_of_beijing():
    for name in ("qwen-plus-us", "qwen-plus-2025-12-01-us", "qwen-flash-ja"):
        assert CATALOG.find(name).known
        assert CATALOG.find(name).tiers == ()
    assert CATALOG.find("qwen-plus-us").intl == CATALOG.find("qwen-plus").intl != ()
    assert CATALOG.find("qwen-flash-ja").intl == ()


@pytest.mark.parametrize("name", ["gpt-4o", "", "Qwen-Plus", "qwen-plus-1331", "qwen-plus-2507", "qwen3-99b", "latest"])
def test_an_unknown_name_is_a_model_without_claims(name):
    assert CATALOG.find(name) == Model(name, known=False)


@given(st.text() | st.from_regex(r"qwen-plus(-us|-latest|-0101|-2025-01-01){0,40}", fullmatch=True))
@example("qwen-plus" + "-us" * 100_000)
def test_any_name_finds_something_under_its_own_name(name):
    assert CATALOG.find(name).name == name
    assert not (CATALOG.is_qwen(name) and CATALOG.retired(name))
    assert CATALOG.find(name).known <= (len(name) <= MAX_NAME)


def test_the_names_found_are_remembered_up_to_a_bound():
    catalog = Catalog.load()
    for number in range(MAX_REMEMBERED * 2):
        catalog.find(f"qwen-{number}")
    assert catalog.find("qwen-plus-us") is catalog.find("qwen-plus-us")
    assert catalog._derived.cache_info().currsize <= MAX_REMEMBERED


def test_the_qwen_names_are_the_families_and_the_catalogue():
    for name in ("qwen-plus", "qwen9-ultra", "qwq-32b", "qvq-max", "deepseek-r1", "text-embedding-v4"):
        assert CATALOG.is_qwen(name)
    for name in ("gpt-4o", "llama-3", "", "my-qwen"):
        assert not CATALOG.is_qwen(name)


def test_retired_names_are_not_served():
    for name in ("qwen-1.8b-chat", "qwen-medicine-32b", "qwen-writing-32b", "qwen1.5-72b-chat", "qwen2-72b-instruct"):
        assert CATALOG.retired(name)
        assert not CATALOG.is_qwen(name)
    assert not CATALOG.retired("qwen2-audio-instruct")
    assert not CATALOG.retired("qwen-plus")


def test_the_list_holds_chat_models_and_their_snapshots_once():
    names = CATALOG.names()
    assert len(set(names)) == len(names)
    assert {"qwen-plus", "qwen-plus-latest", "qwen-plus-2025-12-01", "qwen3.8-max"} <= set(names)
    assert not {"text-embedding-v4", "qwen3-rerank"} & set(names)
    names.clear()
    assert CATALOG.names()


def test_embedding_and_rerank_models_have_rows():
    row = CATALOG.find("text-embedding-v4")
    assert (row.kind, row.dimensions[0], row.max_rows, row.max_input) == ("embedding", 1024, 10, 8_192)
    assert (CATALOG.find("qwen3-rerank").kind, CATALOG.find("qwen3-rerank").max_rows) == ("rerank", 500)


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row.name)
def test_every_row_agrees_with_itself(row):
    for most in (row.max_input, row.max_input_thinking, row.max_output, row.max_thought):
        assert most is None or 0 < most <= (row.context or most)
    if row.thinking == "never":
        assert (row.max_thought, row.max_input_thinking, row.sampling_thinking) == (None, None, None)
        assert all(tier.output_thinking is None for tier in row.tiers)
    assert not (row.cumulative_refused and not row.incremental_output)
    assert "video" not in row.abilities or "vision" in row.abilities
    assert row.path == "multimodal" or not row.abilities & {"vision", "video", "audio", "speech"}


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row.name)
def test_the_tiers_of_every_row_ascend_to_an_open_one(row):
    for tiers in (row.tiers, row.intl):
        ends = [tier.up_to for tier in tiers]
        assert not ends or ends[-1] is None
        assert all(low < high for low, high in itertools.pairwise(ends[:-1]))
        for low, high in itertools.pairwise(tiers):
            assert low.input < high.input
            assert low.output < high.output


def test_every_ability_is_explained_at_the_head_of_the_file():
    head = resources.files("qiao").joinpath("data", "models.toml").read_text("utf-8").split("dated =")[0]
    explained = set(re.findall(r"\w+", head.split("Abilities:")[1]))
    assert frozenset[str]().union(*(row.abilities for row in EVERY)) <= explained


@pytest.mark.parametrize(
    "fault",
    [
        "snapshots = ['a', 'a']",
        "contxt = 5",
        "tiers = [{ input = 0.00015, output = 1 }]",
        "limits = { max = 3 }",
    ],
)
def test_a_fault_in_the_file_is_said_at_once(fault):
    Catalog(BOOK)
    with pytest.raises(ValueError):
        Catalog(BOOK + fault)


def test_what_a_row_is_like_gives_all_but_its_names():
    child = Catalog(BOOK + 'aliases = ["n"]\nsnapshots = ["1"]\n[models.o]\nlike = "m"\nmore = ["vision"]')
    assert child.names() == ["m", "m-1", "n", "o"]
    assert child.find("o").abilities == {"tools", "vision"}
    assert child.find("n").abilities == {"tools"}
