"""The edge agent of Slipway: everything at the edge that decides."""

from __future__ import annotations
