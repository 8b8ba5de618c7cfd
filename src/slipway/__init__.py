"""Slipway: the build, release and operations system of an on-premises RAG product."""

from __future__ import annotations

__version__ = "0.1.0"
