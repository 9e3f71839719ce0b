"""The pages cannot lie: their examples run, their generated parts are up to date, their links lead somewhere."""

import asyncio
import io
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from qiao.clock import SYSTEM_CLOCK
from qiao.config import Settings
from qiao.errors import EngineFailed
from qiao.exchange.meter import Meter
from qiao.exchange.relay import Outcome, Settlement
from qiao.gate.billing import Billing
from qiao.gate.catalog import Catalog
from qiao.gate.prices import PriceBook
from qiao.telemetry import CallLog, Metrics
from qiao.wire.call import Call
from qiao.wire.document import Document
from qiao.wire.usage import Usage
from tests import pages, stage
from tests.pages import ROOT, SHELL, Block, Reader
from tests.weights.hubs import FakeHub
from tools.docs import doors, reference

DOCS = ROOT / "docs"
RUNS = (*SHELL, "python", "toml", "json")
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
# Clients have a suite of their own; reference pages are generated.
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", DOCS / "index.md"]
for folder in ("guides", "operate"):
    WRITTEN += [page for page in sorted((DOCS / folder).glob("*.md")) if not page.name.endswith(".zh-CN.md")]
ALL = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
TWINS = [page for page in WRITTEN if page.name != "CONTRIBUTING.md"]
PAGES = reference.pages()
MARKS = re.compile(r"[^\w\- ]")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def twin(page: Path) -> Path:
    return page.with_suffix(".zh-CN.md")


def shown(page: Path) -> list[Block]:
    """What a page says that its commands print."""
    return [block for block in pages.blocks(page) if block.language == "text"]


def anchors(page: Path) -> set[str]:
    """The names of a page's headings in links."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {MARKS.sub("", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A simulator in the place of the cloud."""
    reader = Reader(tmp_path_factory.mktemp("cloud"))
    reader.serve(f"qiao serve --engine simulator --port {reader.port()}", reader.port())
    yield f"http://127.0.0.1:{reader.port()}"
    reader.close()


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """A hub with one small model, which answers like the built-in one."""
    fake = FakeHub("Qwen/Qwen3-0.6B-GGUF")
    demo = ROOT / "src" / "qiao" / "data" / "demo.gguf"
    fake.script.files = {"Qwen3-0.6B-Q8_0.gguf": demo.read_bytes().replace(b"qiao-demo", b"Qwen3 0.6", 1)}
    yield fake.root
    fake.close()


# The commands of a twin are the same: it is run where other words are printed.
@pytest.mark.parametrize(
    "page", [*WRITTEN, *(twin(page) for page in TWINS if shown(page) != shown(twin(page)))], ids=name_of
)
def test_the_examples_of_a_page_run(page: Path, cloud: str, hub: str, tmp_path: Path) -> None:
    reader = Reader(tmp_path, cloud, hub, "zh" if page.name.endswith(".zh-CN.md") else "en")
    try:
        for block in pages.blocks(page):
            reader.read(block)
    finally:
        reader.close()


@pytest.mark.parametrize("page", TWINS, ids=name_of)
def test_a_page_has_a_chinese_twin_with_the_same_examples(page: Path) -> None:
    ours = [block for block in pages.blocks(page) if block.language in RUNS]
    theirs = [block for block in pages.blocks(twin(page)) if block.language in RUNS]
    assert [without_comments(block) for block in ours] == [without_comments(block) for block in theirs]
    assert len(pages.blocks(page)) == len(pages.blocks(twin(page)))


def without_comments(block: Block) -> Block:
    code = "\n".join(re.sub(r"(^|\s+)#( .*|$)", "", line) for line in block.code.splitlines())
    return Block(block.language, block.name, code)


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_data_in_a_page_is_of_its_language(page: Path) -> None:
    for block in pages.blocks(page):
        if block.language == "json":
            json.loads(block.code)
        if block.language == "toml":
            Settings.model_validate(tomllib.loads(block.code))


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_a_link_leads_somewhere(page: Path) -> None:
    targets = [next(filter(None, found)) for found in LINK.findall(page.read_text("utf-8"))]
    here = [target for target in targets if not re.match(r"https?:|#|mailto:", target)]
    gone = [target for target in here if not (page.parent / target.partition("#")[0]).exists()]
    assert gone == []
    inside = [target.partition("#") for target in here if ".md#" in target]
    assert [target for target, _, name in inside if name not in anchors(page.parent / target)] == []


@pytest.mark.parametrize("page", [page for page in ALL if page.parent.name != "reference"], ids=name_of)
def test_every_page_can_be_reached(page: Path) -> None:
    linked = {
        (other.parent / next(filter(None, found)).partition("#")[0]).resolve()
        for other in ALL
        if other != page
        for found in LINK.findall(other.read_text("utf-8"))
    }
    assert page.resolve() in linked or page == ROOT / "README.md"


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == PAGES[name], "run `make docs`"


def test_every_generated_sentence_has_its_chinese() -> None:
    untranslated: set[str] = set()
    reference.pages(untranslated)
    assert untranslated == set()


def test_nothing_but_generated_pages_is_in_the_reference() -> None:
    assert {name_of(page) for page in (DOCS / "reference").iterdir()} == set(PAGES)


@pytest.mark.anyio
async def test_every_response_header_is_in_the_reference() -> None:
    plain = {"date", "content-type", "content-length", "connection", "transfer-encoding"}
    seen: set[str] = set()
    async with stage.bridge(engine="simulator", keys=["sk-1"], cors_origins=["https://app.example.com"]) as bridge:
        for headers in (
            {},
            {"authorization": "Bearer sk-1"},
            {"x_api_key": "sk-1", "x_qiao_fault": "429;retry_after=2"},
        ):
            for stream in (False, True):
                asked = stage.CALL | {"stream": stream}
                path = "/v1/chat/completions"
                seen |= (await bridge.ask(path, asked, origin="https://app.example.com", **headers)).headers.keys()
    async with (
        stage.scripted(stage.Asked.whole) as cloud,
        stage.bridge(engine="cloud", api_key="sk-1", cloud_url=cloud.url) as bridge,
    ):
        seen |= (await bridge.chat()).headers.keys()
    rows = [{"name": "own", "kind": "simulator"}]
    routes = [{"model": "*", "engines": ["own"], "history": {"rounds": 1}}]
    async with stage.bridge(engines=rows, routes=routes) as bridge:
        seen |= (await bridge.chat(messages=[{"role": "user", "content": "x"}] * 2)).headers.keys()
    assert seen - plain == set(doors.RESPONSE)


def test_every_field_of_the_call_log_is_in_the_reference() -> None:
    assert set(logged()) == set(doors.LOG_FIELDS)


def test_every_outcome_is_in_the_reference() -> None:
    assert set(doors.OUTCOMES) == set(Outcome.__args__)


def logged() -> dict[str, object]:
    """The line of a call of which everything is known."""
    lines = io.BytesIO()

    catalog = Catalog.load()
    billing = Billing(catalog, PriceBook(catalog), {"cloud": "mainland"}, SYSTEM_CLOCK)

    async def settle() -> None:
        meter = Meter(Metrics(), CallLog(lines), billing, SYSTEM_CLOCK)
        document = Document.parse(json.dumps(stage.CALL).encode())
        call = Call("id", "openai", None, "qwen-plus", document, stream=True, received=0.0, task="rerank")
        usage = Usage(input=9, output=2, cached=1, reasoning=1)
        error = EngineFailed("")
        meter.settle(Settlement(call, "broken", 200, "cloud", "qwen-plus", usage, error, "theirs", 1, 0.1, 1.0))
        meter.flush()

    asyncio.run(settle())
    return json.loads(lines.getvalue())
