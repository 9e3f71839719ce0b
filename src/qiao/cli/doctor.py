"""`qiao doctor`: find what is wrong and say what to do."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from qiao.cli import screen
from qiao.cli.finding import Finding
from qiao.cli.options import Doctor
from qiao.cli.text import clean, say

_MARKS = {"ok": ("✓", "green"), "wrong": ("✗", "red"), "none": ("–", "dim")}


def run(options: Doctor) -> int:
    """Print one line per check; 1 when something is wrong."""
    from qiao.cli import checks

    overrides = {
        "engine": options.engine,
        "region": options.region,
        "cloud_url": options.cloud_url,
        "engine_url": options.engine_url,
        "host": options.host,
        "port": options.port,
        "model": options.weights,
    }
    findings = checks.all_checks(options.config, overrides, options.model)
    if options.json:
        found = list(findings)
        rows: list[dict[str, Any]] = [dataclasses.asdict(finding) for finding in found]
        print(json.dumps({"ok": not _wrong(found), "checks": rows}, ensure_ascii=False, indent=2))
    else:
        found = _printed(findings)
        wrong = _wrong(found)
        print("\n" + (say("doctor.wrong", count=wrong) if wrong else say("doctor.well")))
    return 1 if _wrong(found) else 0


def _printed(findings: Iterable[Finding]) -> list[Finding]:
    """Print each as it is found: the network may take a while."""
    console = screen.console()
    found: list[Finding] = []
    for finding in findings:
        found.append(finding)
        mark, colour = _MARKS[finding.status]
        line = f"{say('check.' + finding.name)}: {clean(finding.message)}"
        if console is None:
            print(f"{mark} {line}", flush=True)
        else:
            console.print(mark, style=colour, end=" ")
            console.print(line, markup=False)
        if finding.fix:
            print(f"    → {clean(finding.fix)}", flush=True)
    return found


def _wrong(findings: Iterable[Finding]) -> int:
    return sum(finding.status == "wrong" for finding in findings)
