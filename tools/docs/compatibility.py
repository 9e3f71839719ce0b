"""Writes docs/compatibility.md, client × case × engine, from the result file of the client tests.

pytest tests/clients -o junit_family=xunit1 --junitxml=clients.xml; python tools/docs/compatibility.py clients.xml
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
ENGINES = ("simulator", "http", "local")
HEAD = """\
# Clients that are known to work

Written by `tools/docs/compatibility.py` from a run of `tests/clients`: real clients,
unmodified, against a running Qiao.
`simulator` is the scripted engine, `http` another Qiao behind the HTTP engine, `local` the built-in model.
✓ passes, ✗ fails, – does not apply: only the simulator rehearses faults, and the built-in model has neither vectors nor
ranks. It is asked without pictures.
"""


@dataclass(frozen=True, slots=True)
class Result:
    """How one case of one client ended with one engine."""

    client: str
    version: str
    case: str
    engine: str
    passed: bool


def read(path: Path) -> list[Result]:
    """The results of a JUnit file, in its order; tests that are not a client's case are left out."""
    results: list[Result] = []
    for test in ElementTree.parse(path).iter("testcase"):
        told = {item.get("name", ""): item.get("value", "") for item in test.iter("property")}
        if "client" in told:
            passed = not any(test.find(ending) is not None for ending in ("failure", "error", "skipped"))
            results.append(Result(told["client"], told.get("version", ""), told["case"], told["engine"], passed))
    return results


def page(results: list[Result]) -> str:
    """The whole page."""
    clients = dict.fromkeys((result.client, result.version) for result in results)
    parts = [HEAD, _summary(results, list(clients))]
    for client, version in clients:
        parts.append(_section(client, version, [result for result in results if result.client == client]))
    return "\n".join(parts)


def _summary(results: list[Result], clients: list[tuple[str, str]]) -> str:
    lines = _head("client", "version", *ENGINES)
    for client, version in clients:
        counts: list[str] = []
        for engine in ENGINES:
            ended = [result.passed for result in results if (result.client, result.engine) == (client, engine)]
            counts.append(f"{sum(ended)} of {len(ended)}")
        lines.append(_row(f"[{client}](#{client})", version, *counts))
    return "\n".join(lines) + "\n"


def _section(client: str, version: str, results: list[Result]) -> str:
    ended = {(result.case, result.engine): "✓" if result.passed else "✗" for result in results}
    lines = [f"## {client}", "", *_head("case", *ENGINES)]
    for case in dict.fromkeys(result.case for result in results):
        lines.append(_row(case.replace("_", " "), *(ended.get((case, engine), "–") for engine in ENGINES)))
    return "\n".join(lines) + "\n"


def _head(*cells: str) -> list[str]:
    return [_row(*cells), _row(*("---" for _ in cells))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(read(Path(sys.argv[1]))), "utf-8")
