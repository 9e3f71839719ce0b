"""The life of the engine process: start, crash, restart, end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qiao.engines.child import Child, Settings
from qiao.engines.local import Local, Tuning
from qiao.errors import EngineError, EngineReset, EngineUnavailable
from tests.weights.making import model

from .conftest import LONG, WEIGHTS, alive, answer, call, child_of, streamed, until

pytestmark = pytest.mark.anyio


def offspring(pid: int | None) -> int:
    """The one process that a process has started."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


async def test_it_is_not_ready_before_it_is_loaded_and_nothing_is_left_after_close(
    engine: Callable[..., Local],
) -> None:
    local = engine()
    assert not (await local.health()).ready
    await local.start()
    assert (await local.health()).reason == "The local model is loading."
    child = await child_of(local)
    assert (await local.health()).ready
    assert await local.models() == ["qiao-demo"]
    folder, pid = Path(child.socket).parent, child.pid
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert pid is not None
    await local.close()
    assert not folder.exists()
    assert not alive(pid)
    assert (await local.health()).reason == "The local model has been stopped."


async def test_a_call_made_while_it_loads_waits_for_it(engine: Callable[..., Local]) -> None:
    local = engine()
    assert (await answer(local, "谢谢"))["message"]["content"] == "不客气！"
    await local.close()


async def test_a_process_killed_in_the_middle_ends_the_stream_with_an_error_and_the_next_call_is_answered(
    engine: Callable[..., Local],
) -> None:
    local = engine()
    child = await child_of(local)
    replies = [await local.open(call("写诗", stream=True, **LONG)) for _ in range(4)]
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    for reply in replies:
        with pytest.raises(EngineError):
            async for _ in reply.body:
                pass
    await until(lambda: child.state != "ready")
    assert "SIGKILL, as the system does when memory runs out" in child.reason
    assert (await answer(local, "谢谢"))["message"]["content"] == "不客气！"
    assert local._resident.turns.running == 0
    await local.close()


async def test_a_process_that_hangs_is_started_again_and_its_streams_end_with_an_error(
    engine: Callable[..., Local],
) -> None:
    local = engine(tuning=Tuning(silence=1.0))
    child = await child_of(local)
    reply = await local.open(call("写诗", stream=True, **LONG))
    hung = child.pid
    assert hung is not None
    os.kill(hung, signal.SIGSTOP)
    with pytest.raises(EngineError):
        async for _ in reply.body:
            pass
    await until(lambda: child.state != "ready")
    assert "no answer for 1 s" in child.reason
    assert (await answer(local, "谢谢"))["message"]["content"] == "不客气！"
    assert not alive(hung)
    await local.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_process_goes_before_the_server_when_memory_runs_out_and_leaves_no_core(local: Local) -> None:
    child = await child_of(local)
    facts = Path(f"/proc/{child.pid}")
    assert (facts / "oom_score_adj").read_text().strip() == "500"
    core = next(line for line in (facts / "limits").read_text().splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]


async def test_a_process_killed_before_the_first_token_is_a_reset_that_may_be_tried_again(
    engine: Callable[..., Local],
) -> None:
    local = engine()
    child = await child_of(local)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)
    opening = asyncio.create_task(local.open(call("你好", stream=True)))
    await asyncio.sleep(0.1)
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(EngineReset) as error:
        await opening
    assert error.value.retryable
    assert (await answer(local, "谢谢"))["message"]["content"] == "不客气！"
    await local.close()


async def test_after_three_crashes_in_a_minute_it_stops_and_says_why(engine: Callable[..., Local]) -> None:
    local = engine()
    child = await child_of(local)
    for _ in range(3):
        await child.ready(60)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGSEGV)
        await until(lambda: child.state != "ready")
    health = await local.health()
    assert not health.ready
    assert "crashed three times in a minute, last with SIGSEGV" in health.reason
    with pytest.raises(EngineUnavailable, match="three times"):
        await local.open(call("你好"))
    await local.start()  # a second start is a new chance
    assert (await answer(local, "谢谢"))["message"]["content"] == "不客气！"
    await local.close()


async def test_closing_a_reply_frees_the_engine(engine: Callable[..., Local]) -> None:
    local = engine(tuning=Tuning(parallel=1, waiting=0))
    reply = await local.open(call("从1数到30", stream=True))
    with pytest.raises(EngineError, match="too many calls"):
        await local.open(call("你好", stream=True))
    reply.close()
    reply.close()
    assert await streamed(local, "你好")
    await local.close()


async def test_a_call_cancelled_while_it_waits_frees_the_engine(engine: Callable[..., Local]) -> None:
    local = engine()
    child = await child_of(local)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)
    opening = asyncio.create_task(local.open(call("你好", stream=True)))
    await asyncio.sleep(0.05)
    assert local._resident.turns.running == 1
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert local._resident.turns.running == 0
    os.kill(child.pid, signal.SIGCONT)
    await local.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_process_does_not_outlive_a_server_that_was_killed(tmp_path: Path) -> None:
    script = f"""
        import asyncio
        from pathlib import Path
        from qiao.engines.child import Child, Settings
        async def main():
            child = Child(Settings({str(WEIGHTS)!r}), Path({str(tmp_path)!r}))
            child.start()
            await child.ready(60)
            print(child.pid, flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        assert alive(pid)
        server.kill()
    end = time.monotonic() + 3
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(pid)


async def test_the_folder_of_a_dead_server_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "engine-999999999-abc"
    left.mkdir()
    child = Child(Settings(str(WEIGHTS)), tmp_path)
    child.start()
    await child.ready(60)
    assert not left.exists()
    await child.close()


async def test_another_llama_server_is_spoken_to_in_the_same_way(engine: Callable[..., Local], tmp_path: Path) -> None:
    binary = tmp_path / "llama-server"
    binary.write_text(f"#!{sys.executable}\n" + textwrap.dedent(LAUNCHER))
    binary.chmod(0o755)
    local = engine(tuning=Tuning(binary=str(binary)))
    child = await child_of(local)
    assert (await answer(local, "谢谢"))["message"]["content"] == "不客气！"
    server, killed = offspring(child.pid), child.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    await until(lambda: not alive(server))
    await until(lambda: child.state == "ready" and child.pid not in {None, killed})
    server = offspring(child.pid)
    await local.close()
    assert not alive(server)


# A llama-server from somewhere else: only its command line and its HTTP are relied upon.
LAUNCHER = """
    import sys, time
    from xllamacpp import CommonParams, Server
    given = dict(zip(sys.argv[1:], sys.argv[2:]))
    params = CommonParams()
    params.model.path, params.hostnames = given["--model"], [given["--host"]]
    params.n_ctx, params.n_parallel = int(given["--ctx-size"]), int(given["--parallel"])
    params.n_batch = params.n_ubatch = int(given["--batch-size"])
    params.kv_unified = "--kv-unified" in sys.argv
    params.ui = False
    server = Server(params)
    time.sleep(60)
"""


async def test_a_binary_that_is_not_there_is_said_so(engine: Callable[..., Local]) -> None:
    local = engine(tuning=Tuning(binary="/nowhere/llama-server"))
    with pytest.raises(EngineUnavailable, match="/nowhere/llama-server"):
        await local.open(call("你好"))
    await local.close()


async def test_weights_that_the_engine_refuses_are_explained_in_its_words(
    engine: Callable[..., Local], tmp_path: Path
) -> None:
    local = engine(model(tmp_path / "odd.gguf"))
    with pytest.raises(EngineUnavailable, match=r"The local model cannot be loaded: .*error loading model"):
        await local.open(call("你好"))
    assert "error loading model" in (await local.health()).reason
    await local.close()


async def test_weights_that_break_off_late_are_explained(engine: Callable[..., Local], tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(WEIGHTS.read_bytes()[:-100])
    local = engine(path)
    with pytest.raises(EngineUnavailable, match="its weights are not all there"):
        await local.open(call("你好"))
    assert "its weights are not all there" in (await local.health()).reason
    await local.close()


async def test_weights_that_are_not_there_are_a_reason_and_not_a_crash(
    engine: Callable[..., Local], tmp_path: Path
) -> None:
    local = engine(tmp_path / "none.gguf")
    await local.start()
    assert (await local.health()).reason.endswith("none.gguf does not exist.")
    with contextlib.suppress(EngineUnavailable):
        await local.open(call("你好"))
    assert await local.models() == []
    await local.close()
