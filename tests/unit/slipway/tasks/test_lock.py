"""`invoke lock` works against nothing but a folder of wheels."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from slipway.errors import CommandFailed, Refused
from slipway.facts import lock as facts
from slipway.gates import lock as gate
from slipway.plans import lock as plans
from slipway.tasks.lock import compile_all


def wheel(folder: Path, name: str, version: str, *requires: str) -> None:
    info = f"{name}-{version}.dist-info"
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    lines += [f"Requires-Dist: {requirement}\n" for requirement in requires]
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", "".join(lines))
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, which is all that uv is told of."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "left", "1.0")
    wheel(folder, "right", "1.0", "left", "torch")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose members ask for two small packages, in two environments."""
    root = tmp_path / "checkout"
    few = {name: plans.ENVIRONMENTS[name] for name in ("backend", "toolbox-test")}
    monkeypatch.setattr(plans, "ENVIRONMENTS", few)
    groups = {group for e in plans.ENVIRONMENTS.values() for group in e.groups}
    tables = "".join(f'{name} = ["left"]\n' for name in sorted(groups))
    texts = {name: f'[project]\nname = "{name}"\n' for name in facts.MEMBERS}
    texts[
        "slipway"
    ] += f'[tool.uv]\nexclude-dependencies = ["torch"]\n[dependency-groups]\n{tables}'
    texts[
        "slipway-backend"
    ] += 'dependencies = ["right"]\n[project.optional-dependencies]\nembedded = []\nmodel = []\n'
    for name, folder in facts.MEMBERS.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "pyproject.toml").write_text(texts[name], encoding="utf-8")
    return root


def pins(root: Path, name: str) -> frozenset[tuple[str, str]]:
    lock = facts.read(root / facts.FOLDER / f"{name}.txt")
    assert lock
    return lock.pins


def test_what_is_compiled_is_fresh_complete_and_without_what_is_excluded(
    root: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_all(root, upgrade=False, upgrade_packages=())
    monkeypatch.chdir(root)
    assert (plans.stale(root), gate.main()) == ((), 0)
    assert pins(root, "backend") == {("left", "1.0"), ("right", "1.0")}
    assert pins(root, "toolbox-test") == {("left", "1.0")}
    assert str(wheels) not in (root / "requirements/backend.txt").read_text(encoding="utf-8")


def test_versions_stay_until_they_are_let_go(root: Path, wheels: Path) -> None:
    compile_all(root, upgrade=False, upgrade_packages=())
    wheel(wheels, "left", "2.0")
    wheel(wheels, "right", "2.0", "left")
    compile_all(root, upgrade=False, upgrade_packages=())
    assert pins(root, "backend") == {("left", "1.0"), ("right", "1.0")}
    compile_all(root, upgrade=False, upgrade_packages=("left",))
    assert pins(root, "backend") == {("left", "2.0"), ("right", "1.0")}
    compile_all(root, upgrade=True, upgrade_packages=())
    assert pins(root, "backend") == {("left", "2.0"), ("right", "2.0")}


def test_a_failed_run_leaves_the_locks_as_they_were(root: Path, wheels: Path) -> None:
    compile_all(root, upgrade=False, upgrade_packages=())
    before = {file.name: file.read_bytes() for file in (root / facts.FOLDER).iterdir()}
    (wheels / "right-1.0-py3-none-any.whl").unlink()
    with pytest.raises(CommandFailed, match="right"):
        compile_all(root, upgrade=True, upgrade_packages=())
    assert {file.name: file.read_bytes() for file in (root / facts.FOLDER).iterdir()} == before


def test_a_stale_lock_is_refused_with_the_command_that_mends_it(root: Path, wheels: Path) -> None:
    compile_all(root, upgrade=False, upgrade_packages=())
    plans.refuse_stale(root)
    file = root / "services/backend/pyproject.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("right", "left"), encoding="utf-8")
    with pytest.raises(Refused, match=r"requirements/backend\.txt is stale") as refused:
        plans.refuse_stale(root)
    assert refused.value.next_command == "invoke lock"
