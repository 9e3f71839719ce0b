"""The house rules, held by machine; and that each rule finds what it is there to find."""

import platform
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from qiao.config import Settings
from tools.house import fetch_uv, project, source

ROOT = Path(__file__).parents[1]
# Read from the environment by the command line: how to reach a server that runs elsewhere, and in which language.
SETTINGS_OF_THE_COMMANDS = ("QIAO_URL", "QIAO_KEY", "QIAO_LANG")


def pages(*suffixes: str) -> Iterator[tuple[str, str]]:
    """Path from the root and text of every file with one of these suffixes; without any, of every text file."""
    for path in project.files(ROOT):
        if not suffixes or path.suffix in suffixes:
            content = path.read_bytes()
            if b"\0" not in content and path.name != "uv.lock":
                yield path.relative_to(ROOT).as_posix(), content.decode("utf-8")


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def expect_none(faults: Iterable[str]) -> None:
    """Fail with every fault on a line of its own."""
    if found := list(faults):
        pytest.fail("\n".join(["", *found]), pytrace=False)


def settings(model: type[BaseModel] = Settings, prefix: str = "QIAO_") -> Iterator[str]:
    """The environment variable of every setting, in the order of the code."""
    for name, field in model.model_fields.items():
        variable = prefix + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings(field.annotation, f"{variable}__")
        else:
            yield variable


def test_every_python_file_keeps_the_house_rules() -> None:
    expect_none(fault for path, content in pages(".py") for fault in source.faults(path, content))


def test_no_script_is_longer_than_a_python_file_may_be() -> None:
    lengths = {path: content.count("\n") for path, content in pages(".sh", ".js", ".mjs", ".css")}
    expect_none(f"{path}: {lines} lines" for path, lines in lengths.items() if lines > source.MOST_LINES)


def test_no_file_names_a_place_that_only_one_machine_has() -> None:
    expect_none(f"{path}:{fault}" for path, content in pages() for fault in project.place_faults(content))


def test_the_lock_is_in_step_with_the_project() -> None:
    expect_none(project.lock_faults(ROOT))


@pytest.mark.parametrize("page", [path for path, _ in pages(".md") if path.endswith(".zh-CN.md")])
def test_both_languages_of_a_page_have_the_same_headings(page: str) -> None:
    expect_none(project.translation_faults(text(page.replace(".zh-CN", "")), text(page)))


def test_the_readme_is_there_in_both_languages() -> None:
    assert (ROOT / "README.md").stat().st_size > 0
    assert (ROOT / "README.zh-CN.md").stat().st_size > 0


def test_architecture_is_short_and_names_what_is_there() -> None:
    expect_none(project.architecture_faults(ROOT, text("ARCHITECTURE.md")))


def test_the_changelog_has_a_place_for_the_next_release() -> None:
    expect_none(project.changelog_faults(text("CHANGELOG.md")))


def test_every_setting_is_documented() -> None:
    expect_none(project.undocumented(settings(), text("docs/reference/settings.md")))


def test_no_page_names_a_setting_that_is_none() -> None:
    known = [*settings(), *SETTINGS_OF_THE_COMMANDS]
    read = [(path, content) for path, content in pages() if not path.startswith(("tests/", "tools/house/"))]
    expect_none(f"{path}: {name}" for path, content in read for name in project.unknown_settings(known, content))


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    expect_none(project.wheel_faults(wheel, ROOT / "src" / "qiao"))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("system", ["manylinux", "musllinux"])
def test_the_lock_has_a_uv_for_every_linux(system: str, machine: str) -> None:
    wheel = fetch_uv.find_wheel(fetch_uv.locked_uv()["wheels"], system, machine)
    assert system in wheel["url"]
    assert wheel["url"].endswith(f"_{machine}.whl")


def test_the_lock_has_a_uv_for_this_machine_and_for_a_mac() -> None:
    wheels = fetch_uv.locked_uv()["wheels"]
    assert fetch_uv.this_system() in fetch_uv.find_wheel(wheels, fetch_uv.this_system(), platform.machine())["url"]
    assert fetch_uv.find_wheel(wheels, "macosx", "arm64")["url"].endswith("_arm64.whl")


def indented(lines: int) -> str:
    return "    x = 1\n" * lines


@pytest.mark.parametrize(
    ("path", "content", "fault"),
    [
        ("tools/a.py", "x = 1\n" * 401, "401 lines, 400 at most"),
        ("tools/a.py", "def f():\n" + indented(60), "f has 61 lines, 60 at most"),
        ("tools/a.py", "async def f(self, a, b, /, c, *d, e, f, **g): ...\n", "f has 7 parameters, 6 at most"),
        ("src/qiao/utils.py", '"""A."""\n', "utils is the name of a drawer"),
        ("tests/core/test_a.py", "", "core is the name of a drawer"),
        ("src/qiao/a.py", '"""A."""\nclass _HttpProvider: ...\n', "the house says engine, not provider"),
        ("src/qiao/a.py", '"""A."""\ndef _convert(): ...\n', "the house says translate, not convert"),
        ("src/qiao/a.py", '"""A."""\ndef _f(BackendURL): ...\n', "the house says engine, not backend"),
        ("src/qiao/a.py", '"""A."""\na.stream_format = 1\n', "the house says protocol, not format"),
        ("src/qiao/a.py", '"""A."""\nimport json as adapter\n', "the house says translator, not adapter"),
        ("src/qiao/channels.py", '"""A."""\n', "the house says engines, not channels"),
        ("tools/a.py", "# " + "-" * 20 + "\n", "a banner"),
        ("tools/a.py", "# === Part ===\n", "a banner"),
        ("tools/a.py", "x = 1  # TO" + "DO: more\n", "something put off"),
        ("tools/a.py", "import os  # no" + "qa: F401\n", "silenced without a reason"),
        ("tools/a.py", "x = 1  # type: " + "ignore[attr-defined]\n", "silenced without a reason"),
        ("src/qiao/a.py", '"""A."""\nprint("a")\n', "print outside the command line"),
        ("src/qiao/a.py", '"""A."""\nimport httpx\n', "httpx is not imported here"),
        ("src/qiao/a.py", '"""A."""\nfrom requests.auth import AuthBase\n', "requests is not imported here"),
        ("tests/test_a.py", "from unittest import mock\n", "unittest.mock is not imported here"),
        ("src/qiao/a.py", "x = 1\n", "the module has no docstring"),
        ("src/qiao/a.py", '"""A."""\nclass A:\n    x = 1\n', "A has no docstring"),
        ("src/qiao/a.py", '"""A."""\nasync def f(): ...\n', "f has no docstring"),
        ("src/qiao/a.py", '"""A."""\nsql = f"SELECT * FROM {table}"\n', "a query is built from text"),
        ("src/qiao/a.py", '"""A."""\nsql = "DELETE FROM keys WHERE id = " + key\n', "a query is built from text"),
        ("src/qiao/a.py", '"""A."""\nsql = "UPDATE %s" % table\n', "a query is built from text"),
        ("src/qiao/a.py", '"""A."""\nsql = "DROP TABLE {}".format(table)\n', "a query is built from text"),
        ("src/qiao/a.py", '"""A."""\nimport os\nhome = os.environ["HOME"]\n', "os.environ outside"),
        ("src/qiao/a.py", '"""A."""\nfrom os import getenv\n', "os.getenv outside"),
        ("tests/test_a.py", "class TestA: ...\n", "TestA: tests are plain functions"),
        ("tests/test_a.py", "pytest.skip()\n", "a test that may not run: skip"),
        ("tests/test_a.py", "@pytest.mark.skipif(True)\ndef test_a(): ...\n", "a test that may not run: skipif"),
    ],
)
def test_a_rule_finds_the_file_that_breaks_it(path: str, content: str, fault: str) -> None:
    [found] = source.faults(path, content)
    assert fault in found


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("src/qiao/empty/__init__.py", ""),
        ("tools/a.py", "x = 1\n" * 400),
        ("tools/a.py", "def f(self, a, b, c, d, e, f):\n" + indented(59)),
        ("tests/test_a.py", "def test_a(a, b, c, d, e, f, g): ...\n"),
        ("src/qiao/a.py", '"""A."""\nresponse_format = name.format(provider)\n'),
        ("src/qiao/cli/a.py", '"""A."""\nimport os\nprint(os.environ, f"Select {name}")\n'),
        ("src/qiao/a.py", '"""A."""\nquery("SELECT * FROM keys WHERE id = ?", key)\n'),
        ("src/qiao/a.py", '"""A."""\nclass _Hidden:\n    def f(self): ...\n'),
        ("tools/a.py", "# A dash - or two -- is a dash.\nimport os  # no" + "qa: F401, it is asked for by name\n"),
        ("tests/test_a.py", "@pytest.mark.skipif(sys.platform == 'win32')\ndef test_a(): ...\n"),
    ],
)
def test_a_rule_leaves_a_good_file_alone(path: str, content: str) -> None:
    assert source.faults(path, content) == []


def test_a_lock_that_lags_behind_is_found(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text(text("uv.lock"), "utf-8")
    (tmp_path / "pyproject.toml").write_text(text("pyproject.toml"), "utf-8")
    assert project.lock_faults(tmp_path) == []
    (tmp_path / "pyproject.toml").write_text(text("pyproject.toml").replace('"msgspec>=', '"msgspec>=0.0'), "utf-8")
    assert project.lock_faults(tmp_path) != []


def test_a_heading_that_one_language_lacks_is_found() -> None:
    code = "```sh\n# not a heading\n```\n"
    assert project.translation_faults(f"# A\n## B\n{code}", "# 甲\n## 乙\n") == []
    assert project.translation_faults("# A\n## B\n", "# 甲\n### 乙\n") != []


def test_a_path_that_is_not_there_is_found_in_the_architecture(tmp_path: Path) -> None:
    (tmp_path / "src" / "qiao" / "wire").mkdir(parents=True)
    named = "`wire/`, `src/qiao/wire`, `/v1/models` and `text/event-stream`\n"
    assert project.architecture_faults(tmp_path, named) == []
    assert project.architecture_faults(tmp_path, "`wire/gone.py` and `gone.md`\n") == [
        "wire/gone.py does not exist",
        "gone.md does not exist",
    ]
    assert project.architecture_faults(tmp_path, "\n" * 151) == ["151 lines, 150 at most"]


def test_a_changelog_without_the_next_release_is_found() -> None:
    assert project.changelog_faults("# Changes\n\n## Unreleased\n") == []
    assert project.changelog_faults("# Changes\n\n## 0.1.0\n") != []


def test_settings_that_only_the_code_or_only_a_page_knows_are_found() -> None:
    assert "QIAO_PORT" in settings()
    assert "QIAO_TIMEOUTS__CONNECT" in settings()
    assert project.undocumented(["QIAO_A", "QIAO_AB"], "`QIAO_AB`") == ["QIAO_A"]
    assert project.unknown_settings(["QIAO_AB"], "QIAO_AB=1 QIAO_ABC=2 QIAO_…") == ["QIAO_ABC"]


@pytest.mark.parametrize(
    "line", ["cd /ro" + "ot/qiao", 'path = "/ho' + 'me/li/qiao"', "https://files.python" + "hosted.org/packages"]
)
def test_a_place_that_only_one_machine_has_is_found(line: str) -> None:
    assert project.place_faults(f"\n{line}\n") != []
    assert project.place_faults("~/qiao https://example.com/home/page ${HOME}/work/x") == []


def test_what_a_wheel_lacks_or_should_not_have_is_found(tmp_path: Path) -> None:
    package = tmp_path / "qiao"
    package.mkdir()
    (package / "models.toml").touch()
    wheel = tmp_path / "qiao-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"):
            archive.writestr(f"qiao-1.dist-info/{name}", "")
        archive.writestr("tests/test_a.py", "")
    assert project.wheel_faults(wheel, package) == [
        "qiao-1.dist-info/licenses/NOTICE is missing",
        "qiao/models.toml is missing",
        "tests/test_a.py does not belong there",
    ]
