"""Run the command line as ``python -m slipway_backend``."""

from __future__ import annotations

from slipway_backend.cli import main

if __name__ == "__main__":
    main()
