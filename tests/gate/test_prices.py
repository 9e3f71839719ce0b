"""Costs in whole nano-yuan: the published figures, and what must hold for any usage."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao.gate.catalog import Catalog
from qiao.gate.prices import NANO, OwnPrice, Price, PriceBook, yuan
from qiao.wire import usage as wire_usage
from qiao.wire.model import Model, Tier
from qiao.wire.usage import Usage

CATALOG = Catalog.load()
BOOK = PriceBook(CATALOG)
cost = BOOK.cost
MILLION = 1_000_000
COUNTS = st.integers(0, 2_000_000)
USAGES = st.builds(
    Usage, input=COUNTS, output=COUNTS, cached=COUNTS, cache_written=COUNTS, cache_explicit=st.booleans()
)
PRICED = st.sampled_from([row for row in map(CATALOG.find, CATALOG.names()) if row.tiers])


def price(name: str, input_tokens: int, *, thought: bool = False) -> tuple[str, str]:
    """Yuan per million tokens of input and of output, in a request of so many input tokens."""
    model = CATALOG.find(name)
    into = cost(model, Usage(input=input_tokens), thought=thought)
    both = cost(model, Usage(input=input_tokens, output=MILLION), thought=thought)
    assert into is not None
    assert both is not None
    return yuan(into.nano * MILLION // input_tokens), yuan(both.nano - into.nano)


@pytest.mark.parametrize(
    ("name", "input_tokens", "thought", "into", "out"),
    [
        ("qwen-plus", 1, False, "¥0.80", "¥2.00"),
        ("qwen-plus", 1, True, "¥0.80", "¥8.00"),
        ("qwen-plus", 128_000, False, "¥0.80", "¥2.00"),
        ("qwen-plus", 128_001, False, "¥2.40", "¥20.00"),
        ("qwen-plus", 256_000, True, "¥2.40", "¥24.00"),
        ("qwen-plus", 256_001, True, "¥4.80", "¥64.00"),
        ("qwen-plus-2025-12-01", 128_001, True, "¥2.40", "¥24.00"),
        ("qwen-flash", 1_000, True, "¥0.15", "¥1.50"),
        ("qwen-turbo", 1_000, True, "¥0.30", "¥3.00"),
        ("qwen-max", 1_000, False, "¥2.40", "¥9.60"),
        ("qwen3-max", 32_000, False, "¥2.50", "¥10.00"),
        ("qwen3-max", 32_001, False, "¥4.00", "¥16.00"),
        ("qwen3-max", 128_001, True, "¥7.00", "¥28.00"),
        ("qwen3-max-2025-09-23", 1_000, False, "¥6.00", "¥24.00"),
        ("qwen3.8-max", 900_000, True, "¥12.00", "¥36.00"),
        ("qwen3.8-flash", 1_000, True, "¥0.80", "¥2.70"),
        ("qwen3.7-plus", 256_001, True, "¥6.00", "¥24.00"),
        ("qwen3.5-flash", 128_001, True, "¥0.80", "¥8.00"),
        ("qwen3-coder-plus", 256_001, False, "¥20.00", "¥200.00"),
        ("qwen3-coder-30b-a3b-instruct", 128_001, False, "¥3.75", "¥15.00"),
        ("qwen-mt-flash", 1_000, False, "¥0.70", "¥1.95"),
        ("qwen3-32b", 1_000, True, "¥2.00", "¥20.00"),
        ("qwen3-next-80b-a3b-thinking", 1_000, True, "¥1.00", "¥10.00"),
        ("qwen3.7-text-embedding-flash", 1_000, False, "¥0.125", "¥0.00"),
    ],
)
def test_a_request_costs_what_the_price_page_says(name, input_tokens, thought, into, out):
    assert price(name, input_tokens, thought=thought) == (into, out)


@pytest.mark.parametrize("name", ["qwen3.5-omni-plus", "qwen-plus-us", "qwen3-235b-a22b", "somebody-elses"])
def test_a_model_without_a_known_price_has_no_cost(name):
    assert cost(CATALOG.find(name), Usage(input=10, output=10), thought=False) is None


def test_the_whole_request_is_billed_at_the_rate_of_all_its_input():
    usage = Usage(input=200_000, output=1_000, cached=150_000)
    spent = cost(CATALOG.find("qwen-plus"), usage, thought=False)
    assert spent is not None
    assert spent.nano == 50_000 * 2_400 + 150_000 * 480 + 1_000 * 20_000


def test_a_cache_hit_is_a_fifth_and_the_explicit_cache_has_its_own_rates():
    model = CATALOG.find("qwen-plus")
    implicit = cost(model, Usage(input=1_000, cached=1_000), thought=False)
    explicit = cost(model, Usage(input=1_000, cached=600, cache_written=400, cache_explicit=True), thought=False)
    assert implicit is not None
    assert explicit is not None
    assert implicit.nano == 1_000 * 160
    assert explicit.nano == 600 * 80 + 400 * 1_000


def test_the_wire_says_which_cache_it_was():
    raw = b"""{"prompt_tokens": 2000, "completion_tokens": 1, "prompt_tokens_details":
        {"cached_tokens": 0, "cache_creation_input_tokens": 1605, "cache_type": "ephemeral"}}"""
    usage = wire_usage.read(raw)
    assert usage == Usage(input=2000, output=1, cache_written=1605, cache_explicit=True)
    assert wire_usage.read(b'{"prompt_tokens": 1, "prompt_tokens_details": {"cache_type": 7}}') == Usage(input=1)


def test_a_batch_is_half_and_has_no_cache_discount():
    usage = Usage(input=1_000, output=100, cached=1_000)
    spent = cost(CATALOG.find("qwen-plus"), usage, thought=False, batch=True)
    assert spent is not None
    assert spent.nano == (1_000 * 800 + 100 * 2_000) // 2


@pytest.mark.parametrize(("rate", "cached", "nano"), [(1, 2, 0), (1, 3, 1), (5, 1, 1), (125, 1, 25), (3, 1, 1)])
def test_a_part_of_a_nano_yuan_is_rounded_half_up_once(rate, cached, nano):
    spent = cost(Model("m", tiers=(Tier(None, rate, 1),)), Usage(input=cached, cached=cached), thought=False)
    assert spent is not None
    assert spent.nano == nano


def test_half_a_nano_yuan_is_rounded_up():
    spent = cost(Model("m", tiers=(Tier(None, 1, 1),)), Usage(input=1), thought=False, batch=True)
    assert spent is not None
    assert spent.nano == 1


def test_the_formula_tells_the_sum():
    model = CATALOG.find("qwen-plus")
    spent = cost(model, Usage(input=1_000, output=500, cached=200), thought=True)
    assert spent is not None
    assert spent.formula == "800 × ¥0.80/M + 200 × ¥0.80/M × 20% + 500 × ¥8.00/M = ¥0.004672"
    half = cost(model, Usage(input=1_000), thought=False, batch=True)
    assert half is not None
    assert half.formula == "(1000 × ¥0.80/M) × 50% = ¥0.0004"
    nothing = cost(model, Usage(), thought=False)
    assert nothing is not None
    assert nothing.formula == "0 = ¥0.00"


@given(PRICED, USAGES, st.booleans(), st.booleans())
def test_a_cost_is_never_negative_and_grows_with_the_answer(model, usage, thought, batch):
    longer = Usage(
        input=usage.input,
        output=usage.output + 1,
        cached=usage.cached,
        cache_written=usage.cache_written,
        cache_explicit=usage.cache_explicit,
    )
    spent, more = (cost(model, each, thought=thought, batch=batch) for each in (usage, longer))
    assert spent is not None
    assert more is not None
    assert 0 <= spent.nano <= more.nano
    assert sum(part.number for part in spent.parts) == usage.input + usage.output


@given(PRICED, USAGES)
def test_thinking_never_makes_it_cheaper_and_a_batch_never_dearer(model, usage):
    plain = cost(model, Usage(input=usage.input, output=usage.output), thought=False)
    thought = cost(model, Usage(input=usage.input, output=usage.output), thought=True)
    batch = cost(model, Usage(input=usage.input, output=usage.output), thought=False, batch=True)
    assert plain is not None
    assert thought is not None
    assert batch is not None
    assert batch.nano <= plain.nano <= thought.nano


@given(PRICED, st.booleans())
def test_the_rate_changes_just_past_the_end_of_a_tier(model, thought):
    for tier, following in zip(model.tiers, model.tiers[1:], strict=False):
        at = cost(model, Usage(input=tier.up_to), thought=thought)
        past = cost(model, Usage(input=tier.up_to + 1), thought=thought)
        assert at is not None
        assert past is not None
        assert (at.nano, past.nano) == (tier.up_to * tier.input, (tier.up_to + 1) * following.input)


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "¥0.00"),
        (1, "¥0.000000001"),
        (123_000, "¥0.000123"),
        (NANO, "¥1.00"),
        (1_500_000_000, "¥1.50"),
        (-1_500_000_000, "-¥1.50"),
        (12_345_678_901, "¥12.345678901"),
        (10**24, "¥1000000000000000.00"),
    ],
)
def test_an_amount_is_shown_exactly(nano, text):
    assert yuan(nano) == text


def test_singapore_bills_in_dollars_at_the_set_rate():
    spent = cost(CATALOG.find("qwen-plus"), Usage(input=1_000, output=100), thought=False, scope="intl")
    assert spent is not None
    assert spent.formula == "1000 × $0.40/M + 100 × $1.20/M = ¥0.0038168, $1 = ¥7.34"
    assert spent.nano == (1_000 * 400 + 100 * 1_200) * 734 // 100
    dearer = PriceBook(CATALOG, dollar=Decimal("7.5"))
    assert dearer.price(CATALOG.find("qwen-plus"), "intl") == BOOK.price(CATALOG.find("qwen-plus"), "intl")
    again = dearer.cost(CATALOG.find("qwen-plus"), Usage(input=1_000_000), thought=False, scope="intl")
    assert again is not None
    assert again.nano == 9 * NANO


@pytest.mark.parametrize(
    ("name", "scope", "price"),
    [
        ("qwen3-max", "global", "¥2.50"),
        ("qwen3-max-us", "global", "$1.20"),
        ("qwen3-max", "intl", "$1.20"),
        ("qwen3-max-us", "mainland", None),
        ("qwen-flash-ja", "global", None),
        ("qwen-math-plus", "intl", None),
        ("qwen3-max", None, None),
    ],
)
def test_a_region_has_the_prices_of_its_scope_or_none(name, scope, price):
    found = BOOK.price(CATALOG.find(name), scope)
    assert price == (found and yuan(found.tiers[0].input * MILLION, found.currency))


def test_a_hit_of_the_implicit_cache_may_have_a_price_of_its_own():
    spent = cost(CATALOG.find("qwen3.8-max"), Usage(input=1_000, cached=1_000), thought=False, scope="intl")
    assert spent is not None
    assert spent.formula.startswith("1000 × $0.25/M = ")


# 1,000 tokens each of text and images in, of text and of sound out: the example of the Qwen-Omni page, ¥0.0519.
SPOKEN = b"""{"prompt_tokens": 2000, "completion_tokens": 2000,
    "prompt_tokens_details": {"text_tokens": 1000, "image_tokens": 1000},
    "completion_tokens_details": {"text_tokens": 1000, "audio_tokens": 1000}}"""


@pytest.mark.parametrize(
    ("wire", "nano"),
    [
        (SPOKEN, 51_900_000),
        (SPOKEN.replace(b'"audio_tokens": 1000', b'"audio_tokens": 0').replace(b"2000,\n", b"1000,\n"), 6_400_000),
        (b'{"prompt_tokens": 1000, "completion_tokens": 1000}', 2_000_000),
        (b'{"input_tokens": 1000, "output_tokens": 0, "audio_tokens": 400, "video_tokens": 100}', 10_350_000),
    ],
)
def test_sound_and_images_have_rates_of_their_own_and_the_text_of_a_spoken_answer_is_free(wire, nano):
    usage = wire_usage.read(wire)
    assert usage is not None
    spent = cost(CATALOG.find("qwen-omni-turbo"), usage, thought=False)
    assert spent is not None
    assert spent.nano == nano


def test_a_search_costs_its_fee_and_a_fee_that_nobody_knows_is_said():
    native = b'{"input_tokens": 0, "output_tokens": 0, "plugins": {"search": {"count": 3, "strategy": "%s"}}}'
    known, unknown = (wire_usage.read(native % strategy) for strategy in (b"agent_max", b"turbo"))
    assert known is not None
    assert unknown is not None
    spent = cost(CATALOG.find("qwen-plus"), known, thought=False, scope="intl")
    assert spent is not None
    assert (spent.nano, spent.more) == (3 * 10_000_000 * 734 // 100, False)
    assert spent.formula == "0 + 3 × $10.00/K = ¥0.2202, $1 = ¥7.34"
    open_ended = cost(CATALOG.find("qwen-plus"), unknown, thought=False)
    assert open_ended is not None
    assert (open_ended.nano, open_ended.more) == (0, True)
    assert open_ended.formula == "0 < ¥0.00"


def test_an_own_price_comes_first_from_its_day_on():
    def own(pattern, input_price, since=date.min):
        return OwnPrice(pattern, Price((Tier(None, input_price, 0),)), since)

    book = PriceBook(CATALOG, [own("qwen-plus*", 5), own("qwen-plus", 7, date(2027, 1, 1)), own("mine", 0)])

    def price(name, on):
        found = book.price(CATALOG.find(name), "mainland", on)
        return found and found.tiers[0].input

    assert price("qwen-plus", date(2026, 12, 31)) == 5
    assert price("qwen-plus", date(2027, 1, 1)) == 7
    assert price("qwen-plus-latest", date(2027, 1, 1)) == 5
    assert price("qwen-max", date(2027, 1, 1)) == 2_400
    assert price("mine", date(2027, 1, 1)) == 0
    assert price("yours", date(2027, 1, 1)) is None


@given(PRICED, USAGES, st.sampled_from(["mainland", "global", "intl"]))
def test_the_formula_s_terms_add_up_to_the_cost(model, usage, scope):
    spent = cost(model, usage, thought=False, scope=scope)
    if spent is not None:
        rates = {"CNY": Decimal(1), "USD": Decimal("7.34")}
        exact = sum(part.number * part.rate * part.percent * rates[part.currency] / 100 for part in spent.parts)
        assert abs(exact - spent.nano) <= Decimal("0.5")
