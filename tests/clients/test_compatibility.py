"""The table of docs/compatibility.md and the tool that writes it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.clients import roster

ROOT = Path(__file__).parents[2]
JUNIT = """<testsuites><testsuite>
<testcase name="a"><properties>
  <property name="client" value="curl"/><property name="version" value="8.1"/>
  <property name="case" value="plain_answer"/><property name="engine" value="simulator"/>
</properties></testcase>
<testcase name="b"><properties>
  <property name="client" value="curl"/><property name="version" value="8.1"/>
  <property name="case" value="plain_answer"/><property name="engine" value="http"/>
</properties><failure message="no"/></testcase>
<testcase name="of something else"/>
</testsuite></testsuites>"""


@pytest.fixture(scope="module")
def tool():
    """The script, loaded from its file: tools is not a package."""
    spec = importlib.util.spec_from_file_location("compatibility", ROOT / "tools" / "docs" / "compatibility.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_page_tells_passed_failed_and_not_applicable(tool, tmp_path: Path):
    file = tmp_path / "clients.xml"
    file.write_text(JUNIT, "utf-8")
    page = tool.page(tool.read(file))
    assert "| [curl](#curl) | 8.1 | 1 of 1 | 0 of 1 | 0 of 0 |" in page
    assert "| plain answer | ✓ | ✗ | – |" in page


@pytest.mark.parametrize("client", roster.CLIENTS, ids=lambda client: client.name)
def test_page_has_every_case_of_every_client(client: roster.Client):
    page = (ROOT / "docs" / "compatibility.md").read_text("utf-8")
    section = page.partition(f"\n## {client.name}\n")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")]
    names = {name for engine in roster.ENGINES for name in client.case_names(engine)}
    assert set(rows[2:]) == {name.replace("_", " ") for name in names}
