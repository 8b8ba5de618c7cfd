"""A backend that is stopped may always finish its longest answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway.errors import Refused
from slipway.plans import answers

ROOT = Path(__file__).parents[4]
BACKEND = ROOT / "services/backend/src/slipway_backend"


def resolved(grace: str, **environment: str) -> dict[str, Any]:
    return {"services": {"backend": {"environment": environment, "stop_grace_period": grace}}}


def test_the_grace_covers_what_serves_on_and_the_longest_answer() -> None:
    answers.refuse_cut(resolved("2m10s"), "prod")
    answers.refuse_cut(resolved("5m10s", LLM_SECONDS="300"), "prod")


@pytest.mark.parametrize(
    ("found", "least"),
    [
        (resolved("2m9s"), 130),
        (resolved("2m15s", LLM_SECONDS="300"), 310),
        (resolved("2m15s", DRAIN_SECONDS="20"), 145),
    ],
)
def test_a_shorter_one_is_refused_with_both_numbers(found: dict[str, Any], least: int) -> None:
    with pytest.raises(Refused, match=rf"may need {least} s .* longer stop_grace_period in .*prod"):
        answers.refuse_cut(found, "prod")


def test_the_backend_s_own_defaults_are_meant() -> None:
    settings = (BACKEND / "settings.py").read_text()
    for name, expected in (
        ("llm_seconds", answers.LLM_SECONDS),
        ("drain_seconds", answers.DRAIN_SECONDS),
    ):
        found = re.search(rf"{name}: float = Field\(\s*([\d.]+)", settings)
        assert found is not None, name
        assert float(found[1]) == expected
    assert f"llm_seconds) + {answers.FINISH_SECONDS:g})" in (BACKEND / "server.py").read_text()


def test_what_is_shipped_is_long_enough() -> None:
    app = yaml.safe_load((ROOT / "infra/compose/app.yaml").read_text())
    answers.refuse_cut(app, "dev")
