"""Say whether the locks in requirements/ are fresh: `python -m slipway.gates.lock`."""

from __future__ import annotations

import sys
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.plans import lock


def main() -> int:
    """Print each complaint about the locks below the working folder; 1 when there is one."""
    try:
        found = lock.stale(Path.cwd())
    except SlipwayError as error:
        found = (str(error),)
    for complaint in found:
        sys.stderr.write(f"{complaint}\n")
    if found:
        sys.stderr.write("next: invoke lock\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
