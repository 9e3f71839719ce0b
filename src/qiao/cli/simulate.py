"""`qiao simulate`: serve from the simulator, and say which faults can be rehearsed."""

from __future__ import annotations

from qiao.cli import help as help_page
from qiao.cli import serve
from qiao.cli.options import Simulate
from qiao.cli.text import say

# A call that rehearses each fault: what is written behind the model name, or in the header x-qiao-fault.
FAULTS = (
    "401",
    "403",
    "404",
    "429;retry_after=2",
    "500",
    "503",
    "429-once",
    "500-once",
    "503-once",
    "slow;seconds=5",
    "stall;after=3",
    "cut;after=3",
    "incomplete",
    "garbage;after=3",
    "error;after=3",
    "wrong-usage;kind=negative",
    "done-twice",
    "huge;mib=8",
    "html",
    "empty",
)


def run(options: Simulate) -> int:
    """Serve rehearsed answers; with --faults only list the faults."""
    if options.faults:
        print(table())
        return 0
    print(f"{table()}\n", flush=True)
    overrides = {
        "engine": "simulator",
        "host": options.host,
        "port": options.port,
        "simulator_ttft": options.ttft,
        "simulator_rate": options.rate,
    }
    return serve.start(None, overrides)


def table() -> str:
    """The faults, how to ask for each and what it does."""
    width = max(map(len, FAULTS)) + len("qwen-plus!") + 2
    rows = [f"  {'qwen-plus!' + fault:{width}}{say('fault.' + fault.partition(';')[0])}" for fault in FAULTS]
    return "\n".join([*help_page.wrap(say("simulate.how"), 100), *rows])
