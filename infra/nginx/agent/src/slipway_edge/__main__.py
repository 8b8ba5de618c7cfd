"""``python -m slipway_edge``."""

from __future__ import annotations

from slipway_edge.cli import main

raise SystemExit(main())
