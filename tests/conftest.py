"""What holds for every test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

# Tests start hundreds of processes, each parser of a document among them. None shall compile what
# one before it has compiled, also where bytecode is not to be written beside the code. Inside the
# environment, because that is what a confined parser may read.
sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(Path(sys.prefix) / "pycache")
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The same examples in every run, and no limit in time: a busy machine is no fault of the code.
settings.register_profile(
    "slipway",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("slipway")
