"""Ask the demo model what it was made for, through the real engine: `python tools/demo_model/evaluate.py [MODEL.gguf]`.

Prints right and total of each group, and what was wrong. Temperature 0, so the table is the same at every run on the
same machine. Words are checked by containment, tool calls and JSON exactly. What is asked is in cases.py.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import uuid
from pathlib import Path

import msgspec
from cases import Case, cases
from kinds import Message

from qiao.engines.client import Client
from qiao.engines.local import Local
from qiao.wire.call import Call
from qiao.wire.document import Document
from qiao.wire.model import Model


async def evaluate(path: Path | None, samples: int, groups: list[str]) -> None:
    """Ask every case of these groups, or of all, four at a time, and print the table."""
    client = Client()
    model = Model("qiao-demo", thinking="off", max_output=256)
    asked = [case for case in cases(samples) if not groups or case.group in groups]
    with tempfile.TemporaryDirectory() as runtime:
        local = Local(path, client=client, runtime=Path(runtime), find=lambda _: model)
        await local.start()
        turn = asyncio.Semaphore(4)
        try:
            answers = await asyncio.gather(*(_answer(local, case, turn) for case in asked))
        finally:
            await local.close()
            await client.close()
    table: dict[str, list[int]] = {}
    for case, message in zip(asked, answers, strict=True):
        right = case.right(message)
        row = table.setdefault(case.group, [0, 0])
        row[0] += right
        row[1] += 1
        if not right:
            print(f"wrong, {case.group}: {case.messages[-1]['content'][-200:]!r} → {message}")
    table["all"] = [sum(row[0] for row in table.values()), sum(row[1] for row in table.values())]
    for group, (right, total) in table.items():
        print(f"{group:22} {right:4} / {total}")


async def _answer(local: Local, case: Case, turn: asyncio.Semaphore) -> Message:
    document = Document.build(messages=case.messages, temperature=0, **{"enable_thinking": False, **case.more})
    call = Call(str(uuid.uuid4()), "openai", None, "qiao-demo", document, False, 0.0)
    async with turn:
        reply = await local.open(call)
        body = b"".join([piece async for piece in reply.body])
    return msgspec.json.decode(body)["choices"][0]["message"]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the demo model.")
    parser.add_argument("model", type=Path, nargs="?", help="a GGUF file; the built-in one when left out")
    parser.add_argument("--samples", type=int, default=100, help="half of the generated tool calls")
    parser.add_argument("--only", nargs="+", default=[], metavar="GROUP", help="groups to ask; all when left out")
    options = parser.parse_args()
    asyncio.run(evaluate(options.model, options.samples, options.only))


if __name__ == "__main__":
    main()
