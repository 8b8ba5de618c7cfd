"""Slipway's monitoring: what is measured, what is expected of it, and whom it tells."""

__version__ = "0.1.0"
