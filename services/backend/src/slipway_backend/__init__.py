"""Slipway's RAG service: upload documents, search them, ask questions answered with citations."""

from __future__ import annotations

__version__ = "0.1.0"
