"""Paths are shown as a person in the checkout would type them."""

from __future__ import annotations

from pathlib import Path

from slipway.config.layout import Layout, checkout


def test_a_path_in_the_checkout_is_shown_from_its_root() -> None:
    layout = Layout(Path("/site/slipway"))
    assert layout.shown(layout.overlay("dev")) == "infra/compose/environments/dev.yaml"
    assert layout.shown(Path("/etc/hosts")) == "/etc/hosts"


def test_the_files_of_every_environment_are_there() -> None:
    layout = checkout()
    for name in ("dev", "staging", "prod"):
        assert all(path.is_file() for path in layout.stack_files(name))
    assert (layout.samples / "questions.json").is_file()
