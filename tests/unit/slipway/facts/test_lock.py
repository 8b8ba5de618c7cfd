"""What the members ask for is read as the packaging standards write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.errors import Refused
from slipway.facts import lock as facts
from slipway.plans import lock as plans


def write(root: Path, member: str, text: str) -> None:
    file = root / facts.MEMBERS[member] / "pyproject.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_a_group_may_include_another(tmp_path: Path) -> None:
    write(
        tmp_path,
        "slipway",
        "[dependency-groups]\n"
        'test = [{include-group = "coverage"}, "pytest"]\ncoverage = ["coverage"]\n',
    )
    assert facts.projects(tmp_path)["slipway"].groups["test"] == ("coverage", "pytest")


def test_an_extra_may_name_another_of_its_member(tmp_path: Path) -> None:
    write(
        tmp_path,
        "slipway-backend",
        "[project.optional-dependencies]\n"
        'laptop = ["slipway-backend[model]", "database"]\nmodel = ["weights"]\n',
    )
    assert facts.projects(tmp_path)["slipway-backend"].extra("laptop") == ("weights", "database")


def test_a_broken_pyproject_is_refused_by_its_name(tmp_path: Path) -> None:
    write(tmp_path, "slipway-edge", "[project\n")
    with pytest.raises(Refused, match=r"infra/nginx/agent/pyproject\.toml: not valid TOML"):
        facts.projects(tmp_path)


def test_a_lock_reads_back_as_it_was_written(tmp_path: Path) -> None:
    body = (
        'numpy==2.4 ; python_version < "3.12" \\\n    --hash=sha256:0\nRuamel.Yaml[jinja]==0.19\n'
    )
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/a.txt").write_text(plans.text("123", body), encoding="utf-8")
    (tmp_path / "requirements/b.txt").write_text("numpy==2.4\n", encoding="utf-8")
    locks = facts.locks(tmp_path)
    assert locks["a"] is not None
    assert locks["a"].body == body
    assert locks["a"].pins == {("numpy", "2.4"), ("ruamel-yaml", "0.19")}
    assert locks["b"] is None
