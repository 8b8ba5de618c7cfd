"""A site that is measured leaves nothing behind, however its run ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SERVED = Path(__file__).parents[1]
PROGRAM = """
import sys, time
from pathlib import Path
from served import ended_by_signals, site
with ended_by_signals(), site(Path("no model is needed")) as made:
    sleeper = made.start("sleeper", ["sleep", "600"], {})
    postmaster = (made.folder / "data" / "postmaster.pid").read_text().split()[0]
    print(made.folder, sleeper.popen.pid, postmaster, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT], ids=["terminated", "interrupted"]
)
def test_a_run_that_is_ended_stops_its_servers_and_removes_its_folder(
    number: signal.Signals, eventually: Callable[..., None]
) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(SERVED), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with contextlib.closing(run.stdout) as output:  # type: ignore[type-var]
        folder, *processes = output.readline().split()  # type: ignore[union-attr]
        assert processes
        run.send_signal(number)
        assert run.wait(60) != 0
    assert not Path(folder).exists()
    for each in processes:
        # Its entry stays until whoever inherited it, often process 1, has asked for its end.
        eventually(lambda each=each: not Path("/proc", each).exists(), f"the end of {each}", 10)
