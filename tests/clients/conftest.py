"""Every case of every client against every engine: one process per client and engine, one test per case."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.clients import environments, roster
from tests.clients import servers as real

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case of one client ended; `error` is None where it passed."""

    client: roster.Client
    case: str
    engine: str
    error: str | None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that wants an `outcome` runs for each case × engine of its module's CLIENTS."""
    if "outcome" not in metafunc.fixturenames:
        return
    chosen = [roster.named(name) for name in metafunc.module.CLIENTS]
    wanted = [
        (client, case, engine) for client in chosen for engine in roster.ENGINES for case in client.case_names(engine)
    ]
    ids = [f"{client.name}-{case}-{engine}" for client, case, engine in wanted]
    metafunc.parametrize("outcome", wanted, ids=ids, indirect=True)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.Servers]:
    started = real.Servers(tmp_path_factory.mktemp("servers"))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def outcomes(servers: real.Servers):
    """Runs a client's whole file once per engine and keeps what it said."""

    @cache
    def run(client: roster.Client, engine: str) -> dict[str, str | None]:
        place = environments.ensure(client.environment)
        names = client.case_names(engine)
        command = [*_command(client, place), HERE / "cases" / client.cases, servers.origin(engine), real.KEY, engine]
        done = subprocess.run(
            [*command, *names],
            check=False,
            env=_environment(place),
            cwd=place,
            capture_output=True,
            text=True,
            timeout=280,
        )
        said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"case"')]
        never = f"the case did not run: {done.stderr}"
        return dict.fromkeys(names, never) | {line["case"]: line["error"] for line in said}

    return run


@pytest.fixture
def outcome(request: pytest.FixtureRequest, outcomes, record_property) -> Outcome:
    client, case, engine = request.param
    for name, value in (("client", client.name), ("case", case), ("engine", engine)):
        record_property(name, value)
    for package in client.packages:
        record_property("version", _version(client.environment, package))
    return Outcome(client, case, engine, outcomes(client, engine)[case])


def _command(client: roster.Client, place: Path) -> list[str]:
    if client.cases.endswith(".mjs"):
        return [str(environments.node(place)), str(HERE / "runner.mjs")]
    return [str(environments.python(place)), str(HERE / "runner.py")]


def _environment(place: Path) -> dict[str, str]:
    """No proxies, no settings of the developer; and where the Node programs are."""
    named = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    command = place / "node_modules" / ".bin" / "qwen"
    if command.exists():
        named |= {"QIAO_TEST_NODE": str(environments.node(place)), "QIAO_TEST_QWEN_CODE": str(command.resolve())}
    return named | {"PYTHONIOENCODING": "utf-8"}


@cache
def _version(environment: str, package: str) -> str:
    return environments.version(environments.ensure(environment), package)
