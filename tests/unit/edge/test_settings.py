"""Every figure has a default, bounds and a reason, and reaches NGINX's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway_edge import cli, settings
from slipway_edge.errors import EdgeError

EDGE = Path(__file__).parents[3] / "infra/nginx"
LIMITS = EDGE / "snippets/limits"


def test_the_defaults_are_used_where_the_environment_says_nothing() -> None:
    """An empty variable counts as none: Compose passes those."""
    values = settings.read({"EDGE_WORKERS": "", "EDGE_BODY_MEBIBYTES": "3"})
    assert values["EDGE_WORKERS"] == 2
    assert values["EDGE_BODY_MEBIBYTES"] == 3


def test_every_wrong_value_is_named_with_what_is_accepted() -> None:
    """All at once, so that one start finds all."""
    with pytest.raises(EdgeError) as wrong:
        settings.read(
            {"EDGE_WORKERS": "many", "PUBLIC_HTTPS_PORT": "70000", "EDGE_BODY_MEBIBYTES": "-1"}
        )
    for words in (
        "EDGE_WORKERS=many: expected a number from 1 to 64",
        "70000",
        "EDGE_BODY_MEBIBYTES=-1",
    ):
        assert words in str(wrong.value)


def test_every_setting_reaches_a_template_and_every_gap_is_filled(tmp_path: Path) -> None:
    """No setting without effect, no hole left in a file."""
    settings.write({entry.name: entry.default for entry in settings.SETTINGS}, LIMITS, tmp_path)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(written) == {"limits.conf", "processes.conf", "uploads.conf"}
    assert "@{" not in "".join(written.values())
    assert "rate=500r/s" in written["limits.conf"]
    templates = "".join(path.read_text() for path in LIMITS.glob("*.template"))
    for entry in settings.SETTINGS:
        assert f"@{{{entry.name}}}" in templates


def test_every_setting_stands_in_the_readme_with_its_default() -> None:
    """The table in the README is not allowed to fall behind."""
    readme = (EDGE / "README.md").read_text()
    for entry in settings.SETTINGS:
        assert f"| `{entry.name}` | {entry.default} | {entry.why} |" in readme


def test_the_command_shows_or_writes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in effect can be read in the container."""
    monkeypatch.setenv("EDGE_WORKERS", "4")
    assert cli.main(["settings"]) == 0
    assert "EDGE_WORKERS=4  Two workers" in capsys.readouterr().out
    assert cli.main(["settings", "--write", str(tmp_path), "--templates", str(LIMITS)]) == 0
    assert "worker_processes 4;" in (tmp_path / "processes.conf").read_text()
    monkeypatch.setenv("EDGE_WORKERS", "0")
    assert cli.main(["settings"]) == 1
    assert "EDGE_WORKERS=0" in capsys.readouterr().err
