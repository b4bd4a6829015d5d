"""An embedded server that the kernel kills for want of memory, in a control group with a limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.embedded_stage import servers_of
from tests.processes import LIMIT_S, wait_until

pytestmark = [pytest.mark.triton, pytest.mark.timeout(120)]

LIMIT_BYTES = 700 << 20

PARENT = """
import asyncio, sys
from pathlib import Path
from tests.e2e.embedded_stage import load_tiny
from tritop.demo.repository import write_repository
from tritop.runtimes.embedded_server import EmbeddedServer
from tritop.runtimes.supervisor import Phase, Policy

async def main():
    folder = Path(sys.argv[1])
    write_repository(folder)
    server = EmbeddedServer(folder, name="mine", prepare=load_tiny, policy=Policy(back_off_s=(0.1,)))
    await server.open()
    for run in ("run 1", "run 2"):
        await server.until(lambda state: state.phase is Phase.READY and state.run == run)
        print(server.launch().pid, flush=True)
        state = await server.until(lambda state: state.run_ended)
        print(state.phase, state.exit_code, state.explanation, state.advice, flush=True)
    await server.stop()

asyncio.run(main())
"""

HOG = """
import sys
def kills():
    with open(sys.argv[1]) as file:
        return [line for line in file if line.startswith("oom_kill ")]
before, taken = kills(), []
while kills() == before:
    taken.append(b"x" * (4 << 20))
"""
"""Takes memory until the kernel has killed a process of the group; going on would get it killed itself."""


@pytest.fixture
def group() -> Iterator[Path]:
    """The folder of a control group with a limit on its memory."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            folder = Path("/sys/fs/cgroup/memory", path.lstrip("/"), f"tritop-test-{os.getpid()}")
            break
    else:
        pytest.skip("no hierarchy of version 1 for memory, in which a group of one's own can be made")
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    members = folder / "cgroup.procs"
    try:
        yield folder
        # The guardian cleans up after a tritop that was killed, where it is let.
        wait_until(lambda: not members.read_text().split(), "its processes have ended")
    finally:
        for pid in members.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        wait_until(lambda: not members.read_text().split(), "its processes are gone")
        folder.rmdir()


def test_a_kill_by_the_kernel_is_explained_and_the_second_in_a_row_given_up(group: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    def begin(program: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a process inside the group."""
        enter = f'echo $$ > "{group}/cgroup.procs" && exec "$@"'
        command = ["sh", "-c", enter, "sh", sys.executable, "-c", program, *arguments]
        environ = os.environ | {"TMPDIR": str(temporary)}
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)

    def run_out_of_memory(pid: int) -> None:
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
        hog = begin(HOG, str(group / "memory.oom_control"))
        try:
            assert hog.wait(LIMIT_S) == 0
        finally:
            hog.kill()
            hog.communicate()

    with begin(PARENT, str(tmp_path / "models")) as parent:
        try:
            assert parent.stdout is not None
            said = []
            for _ in range(2):
                run_out_of_memory(int(parent.stdout.readline()))
                said.append(parent.stdout.readline())
            assert parent.wait(LIMIT_S) == 0
        finally:
            parent.kill()
    sentence = "The kernel killed it for want of memory."
    advice = "Load fewer models, or make fewer instances.\n"
    assert said[0] == f"BACKOFF 137 {sentence} {advice}"
    assert said[1] == f"FAILED 137 {sentence} It ran out of memory 2 times in a row and was given up. {advice}"
    assert servers_of(tmp_path / "models") == []
    assert list(temporary.iterdir()) == []
