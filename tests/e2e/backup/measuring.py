"""Measuring what these tests cover of the service: it runs in containers, where its tools are."""

from __future__ import annotations

import os
from pathlib import Path

import coverage
from docker.types import Mount

#: The folder for what is measured; without it nothing is.
FOLDER = os.environ.get("SLIPWAY_E2E_MEASURED", "")
TOOLS, DATA = "/measuring/tools", "/measuring/data"
START = "import coverage\ncoverage.process_startup()\n"
# Without its compiled part, which is for the Python of this side.
CONFIGURATION = f"""
[run]
branch = true
core = pytrace
parallel = true
sigterm = true
patch = _exit
data_file = {DATA}/data
source_pkgs = slipway_backup
disable_warnings = no-ctracer,no-sysmon,no-data-collected,module-not-imported
"""


def environment() -> dict[str, str]:
    """What has every Python of a container measure itself."""
    if not FOLDER:
        return {}
    return {"PYTHONPATH": f"{TOOLS}/start:{TOOLS}", "COVERAGE_PROCESS_START": f"{TOOLS}/rc"}


def mounts() -> list[Mount]:
    """The tool, and where it writes; whoever a process becomes may write there."""
    if not FOLDER:
        return []
    data, tools = Path(FOLDER, "data"), Path(FOLDER, "tools")
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o1777)
    start = tools / "start"
    start.mkdir(parents=True, exist_ok=True)
    # Where the package is mounted.
    (tools / "coverage").mkdir(exist_ok=True)
    (start / "sitecustomize.py").write_text(START, encoding="utf-8")
    (tools / "rc").write_text(CONFIGURATION, encoding="utf-8")
    package = str(Path(coverage.__file__).parent)
    return [
        Mount(TOOLS, str(tools), type="bind", read_only=True),
        Mount(f"{TOOLS}/coverage", package, type="bind", read_only=True),
        Mount(DATA, str(data), type="bind"),
    ]
