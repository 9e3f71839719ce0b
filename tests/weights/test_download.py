"""Models are fetched from a hub: on from where a try before ended, and in place only when they are whole and right."""

from __future__ import annotations

import fcntl
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from qiao.weights import download, pulling
from qiao.weights.hub import Hub, NotPulled, Remote
from tests.weights.hubs import FakeHub

DATA = bytes(range(256)) * 4000


@pytest.fixture
def fake() -> Iterator[FakeHub]:
    fake = FakeHub()
    fake.script.files = {"README.md": b"read", "sub/Qwen3 4B-Q4_K_M.gguf": DATA}
    yield fake
    fake.close()


@pytest.fixture(params=["huggingface", "modelscope"])
def hub(fake: FakeHub, request: pytest.FixtureRequest) -> Hub:
    return Hub(request.param, fake.root)


def fetched(hub: Hub, folder: Path) -> Path:
    [remote] = hub.files("Qwen/a")
    download.fetch(hub, remote, folder / remote.name, lambda _: None, pause=0.0)
    return folder / remote.name


def test_a_file_is_listed_fetched_and_checked(hub: Hub, tmp_path: Path) -> None:
    [remote] = hub.files("Qwen/a")
    assert (remote.name, remote.size, len(remote.digest)) == ("Qwen3 4B-Q4_K_M.gguf", len(DATA), 64)
    told: list[int] = []
    download.fetch(hub, remote, tmp_path / "new" / remote.name, told.append)
    assert (tmp_path / "new" / remote.name).read_bytes() == DATA
    assert [path.name for path in (tmp_path / "new").iterdir()] == [remote.name]
    assert told[-1] == len(DATA)
    assert told == sorted(told)


def test_a_fetch_goes_on_where_it_was_cut(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    fake.script.cuts = [300_000, 500_000]
    assert fetched(hub, tmp_path).read_bytes() == DATA
    assert fake.begins == [None, "bytes=300000-", "bytes=800000-"]


def test_a_fetch_that_gives_up_leaves_what_it_has_for_the_next(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    fake.script.cuts = [400_000, *[0] * download.TRIES]
    with pytest.raises(NotPulled, match="No connection to"):
        fetched(hub, tmp_path)
    assert next(tmp_path.iterdir()).stat().st_size == 400_000
    assert fetched(hub, tmp_path).read_bytes() == DATA
    assert fake.begins[-1] == "bytes=400000-"


def test_a_server_without_ranges_begins_again(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    fake.script.ranges = False
    fake.script.cuts = [1000]
    assert fetched(hub, tmp_path).read_bytes() == DATA


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again(hub: Hub, fake: FakeHub, tmp_path: Path, status: int) -> None:
    fake.script.statuses = [status, status]
    assert fetched(hub, tmp_path).read_bytes() == DATA


def test_a_hub_that_stays_busy_is_given_up(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    fake.script.statuses = [503] * download.TRIES
    with pytest.raises(NotPulled, match=r"^127\.0\.0\.1:\d+ answered 503: try again later"):
        fetched(hub, tmp_path)


def test_a_range_that_cannot_be_begins_again(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    fake.script.cuts = [1000]
    fake.script.statuses = []
    [remote] = hub.files("Qwen/a")
    (tmp_path / f"{remote.name}.part").write_bytes(b"?" * (len(DATA) - 1))
    fake.script.statuses = [416]
    fake.script.cuts = []
    download.fetch(hub, remote, tmp_path / remote.name, lambda _: None, pause=0.0)
    assert (tmp_path / remote.name).read_bytes() == DATA


def test_a_wrong_digest_is_refused_and_thrown_away(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    fake.script.digest = "0" * 64
    with pytest.raises(NotPulled, match="did not arrive as the hub has it") as error:
        fetched(hub, tmp_path)
    assert "不一致" in error.value.chinese
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [0]
    fake.script.digest = None
    assert fetched(hub, tmp_path).read_bytes() == DATA


def test_a_part_of_another_file_is_noticed_by_the_digest(hub: Hub, tmp_path: Path) -> None:
    [remote] = hub.files("Qwen/a")
    (tmp_path / f"{remote.name}.part").write_bytes(b"?" * 1000)
    with pytest.raises(NotPulled, match="run the command again"):
        fetched(hub, tmp_path)
    assert fetched(hub, tmp_path).read_bytes() == DATA


@pytest.mark.parametrize(
    ("repository", "token", "words"),
    [("Other/b", "", "no such repository or file"), ("Qwen/a", "hf_secret", "accept the model's terms")],
)
def test_a_refusal_says_what_to_do(hub: Hub, fake: FakeHub, repository: str, token: str, words: str) -> None:
    fake.script.token = token
    with pytest.raises(NotPulled, match=words):
        hub.files(repository)


def test_a_file_that_is_gone_is_not_asked_for_again(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    fake.script.statuses = [404, 404]
    with pytest.raises(NotPulled, match="no such repository or file"):
        fetched(hub, tmp_path)
    assert fake.script.statuses == [404]


def test_the_token_goes_to_the_hub_and_not_to_the_host_of_the_content(fake: FakeHub, tmp_path: Path) -> None:
    fake.script.token = "hf_secret"
    other = FakeHub()
    other.script.files = {"sub/Qwen3 4B-Q4_K_M.gguf": DATA}
    fake.script.content_root = other.root.replace("127.0.0.1", "localhost")
    try:
        assert fetched(Hub("huggingface", fake.root, "hf_secret"), tmp_path).read_bytes() == DATA
        assert [authorization for _, _, authorization in other.script.asked] == [None]
        assert {authorization for _, _, authorization in fake.script.asked} == {"Bearer hf_secret"}
    finally:
        other.close()


def test_a_fetch_goes_on_at_the_host_of_the_content(fake: FakeHub, tmp_path: Path) -> None:
    fake.script.content_root = fake.root
    fake.script.cuts = [1000]
    assert fetched(Hub("huggingface", fake.root), tmp_path).read_bytes() == DATA
    assert fake.begins == [None, None, "bytes=1000-", "bytes=1000-"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"7", b'[{"type": "file"}]', b'{"Data": {"Files": [3]}}', b"<html>"]
)
def test_an_answer_that_is_no_listing_is_said(hub: Hub, fake: FakeHub, body: bytes) -> None:
    fake.script.listing = body
    if hub.kind == "huggingface" and body in {b"[]", b"{}"}:
        assert hub.files("Qwen/a") == []
    else:
        with pytest.raises(NotPulled, match="sent no list of files"):
            hub.files("Qwen/a")


def test_a_refusal_of_modelscope_in_a_good_answer_is_one(fake: FakeHub) -> None:
    fake.script.listing = b'{"Code": 10010205001, "Data": null, "Success": false}'
    with pytest.raises(NotPulled, match="no such repository"):
        Hub("modelscope", fake.root).files("Qwen/a")


@pytest.mark.parametrize("name", ["../../x.gguf", "a\\b.gguf", ".gguf", "c:x.gguf", "a\x1b[2J.gguf", "x.safetensors"])
def test_no_file_of_a_hub_leaves_its_folder(hub: Hub, fake: FakeHub, name: str) -> None:
    fake.script.files = {name: b"x"}
    assert [remote.name for remote in hub.files("Qwen/a")] in ([], ["x.gguf"])


def test_a_long_listing_comes_in_pages(fake: FakeHub) -> None:
    fake.script.files = {f"m-{number}.gguf": b"x" for number in range(7)}
    fake.script.page = 3
    assert [remote.name for remote in Hub("huggingface", fake.root).files("Qwen/a")] == list(fake.script.files)


def test_a_hub_that_is_none_or_not_there_is_said(fake: FakeHub, tmp_path: Path) -> None:
    fake.close()
    with pytest.raises(NotPulled, match=r"No connection to 127\.0\.0\.1.*qiao models import"):
        Hub("modelscope", fake.root).files("Qwen/a")
    with pytest.raises(NotPulled, match="is not an address"):
        Hub("modelscope", "file:///etc").files("Qwen/a")


def test_a_full_disk_is_said_before_anything_is_fetched(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    [remote] = hub.files("Qwen/a")
    huge = Remote(remote.name, shutil.disk_usage(tmp_path).free, remote.digest, remote.url)
    with pytest.raises(NotPulled, match=r"GiB free and .* GiB are needed: make room"):
        download.fetch(hub, huge, tmp_path / remote.name, lambda _: None)
    assert fake.begins == []


def test_a_disk_that_takes_no_more_keeps_what_came(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        with pytest.raises(NotPulled, match="cannot be written"):
            fetched(hub, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert fetched(hub, tmp_path).read_bytes() == DATA
    assert fake.begins == [None, "bytes=500000-"]


def test_a_place_that_is_no_folder_is_said(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotPulled, match="cannot be written"):
        fetched(hub, tmp_path / "file")


def test_two_processes_do_not_fetch_one_file(hub: Hub, tmp_path: Path) -> None:
    [remote] = hub.files("Qwen/a")
    with (tmp_path / f"{remote.name}.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(NotPulled, match="another process"):
            fetched(hub, tmp_path)
    assert fetched(hub, tmp_path).read_bytes() == DATA


def remotes(*names: str) -> list[Remote]:
    return [Remote(name, 1, "", "") for name in names]


@pytest.mark.parametrize(
    ("files", "quantisation", "taken"),
    [
        (["a-Q8_0.gguf", "a-Q4_K_M.gguf"], "", ["a-Q4_K_M.gguf"]),
        (["a-Q8_0.gguf", "a-Q4_K_M.gguf"], "q8_0", ["a-Q8_0.gguf"]),
        (["a-Q8_0.gguf"], "", ["a-Q8_0.gguf"]),
        (["a-Q8_0.gguf", "a-Q5_K_M.gguf"], "", ["a-Q5_K_M.gguf"]),
        (["a.gguf"], "", ["a.gguf"]),
        (
            ["a-Q4_K_M-00002-of-00002.gguf", "a-Q4_K_M-00001-of-00002.gguf"],
            "",
            ["a-Q4_K_M-00001-of-00002.gguf", "a-Q4_K_M-00002-of-00002.gguf"],
        ),
        (["a-Q4_K_M-00001-of-00001.gguf", "a-Q4_K_M.gguf"], "", ["a-Q4_K_M.gguf"]),
        (
            ["mmproj-a-Q8_0.gguf", "mmproj-a-F16.gguf", "a-Q4_K_M.gguf"],
            "",
            ["a-Q4_K_M.gguf", "mmproj-a-F16.gguf"],
        ),
    ],
)
def test_what_is_fetched_of_a_repository(files: list[str], quantisation: str, taken: list[str]) -> None:
    plan = pulling.plan(remotes(*files), quantisation, "Qwen/a", 2**40)
    assert [remote.name for remote in plan.files] == taken


def test_what_fits_into_memory_is_fetched_unless_something_was_asked_for() -> None:
    sizes = {"a-Q2_K.gguf": 2, "a-Q3_K_M.gguf": 3, "a-Q4_K_M.gguf": 4, "a-Q8_0.gguf": 8}
    files = [Remote(name, size, "", "") for name, size in sizes.items()]
    smaller = pulling.plan(files, "", "Qwen/a", 4)
    assert (smaller.quantisation, smaller.instead_of, smaller.size) == ("q3_k_m", "q4_k_m", 3)
    assert pulling.plan(files, "q8_0", "Qwen/a", 4).quantisation == "q8_0"
    assert pulling.plan(files, "", "Qwen/a", 9).quantisation == "q4_k_m"
    assert pulling.plan(files, "", "Qwen/a", 1) == pulling.plan(files, "q4_k_m", "Qwen/a", 1)


def test_what_a_repository_does_not_have_is_said() -> None:
    with pytest.raises(NotPulled, match="has no Q2_K; it has: Q4_K_M, Q8_0"):
        pulling.plan(remotes("a-Q8_0.gguf", "a-Q4_K_M.gguf"), "q2_k", "Qwen/a", 2**40)
    with pytest.raises(NotPulled, match="has no GGUF file"):
        pulling.plan([], "", "Qwen/Qwen3-4B", 2**40)
    with pytest.raises(NotPulled, match=r"several models \(a-Q4_K_M\.gguf, b-Q4_K_M\.gguf\)"):
        pulling.plan(remotes("a-Q4_K_M.gguf", "b-Q4_K_M.gguf"), "", "Qwen/a", 2**40)


@pytest.mark.parametrize(
    ("name", "repository", "quantisation"),
    [
        ("qwen3-4b", "Qwen/Qwen3-4B-GGUF", ""),
        ("qwen3:4b", "Qwen/Qwen3-4B-GGUF", ""),
        ("Qwen3-4B:Q8_0", "Qwen/Qwen3-4B-GGUF", "q8_0"),
        ("unsloth/Qwen3-4B-GGUF", "unsloth/Qwen3-4B-GGUF", ""),
        ("unsloth/Qwen3-4B-GGUF:Q5_K_M", "unsloth/Qwen3-4B-GGUF", "q5_k_m"),
    ],
)
def test_a_name_means_a_repository(name: str, repository: str, quantisation: str) -> None:
    assert pulling.wanted(name) == pulling.Wanted(repository, quantisation)


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "../../etc", "a/../b", "Qwen/a:b", "", "https://a.example/b"])
def test_a_name_that_means_nothing_is_refused(name: str) -> None:
    with pytest.raises(NotPulled, match="use a short name"):
        pulling.wanted(name)
