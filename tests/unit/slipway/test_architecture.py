"""Imports flow downwards, and one module starts processes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import slipway

ROOT = Path(slipway.__file__).parent
# What each layer may use of the toolkit; every layer may use itself and the errors.
ALLOWED = {
    "commands": {"config"},
    "config": set(),
    "facts": {"commands", "config", "run"},
    "plans": {"commands", "config", "facts"},
}
MODULES = sorted(ROOT.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The full names of the modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def parts(path: Path) -> set[str]:
    """The parts of the toolkit that a file imports: a layer, or a module beside the layers."""
    return {
        name.split(".")[1]
        for name in imported(path)
        if name.startswith("slipway.") and (ROOT / name.split(".")[1]).with_suffix("") != path
    }


@pytest.mark.parametrize("layer", sorted(ALLOWED))
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    files = sorted((ROOT / layer).glob("*.py"))
    assert files
    for path in files:
        above = parts(path) - ALLOWED[layer] - {layer, "errors"}
        assert not above, f"{path.relative_to(ROOT)} imports {sorted(above)}"


def test_nothing_but_the_root_file_imports_tasks() -> None:
    for path in MODULES:
        if path.parent.name != "tasks":
            assert "tasks" not in parts(path), path.relative_to(ROOT)


def test_one_module_starts_processes() -> None:
    starting = {str(path.relative_to(ROOT)) for path in MODULES if "subprocess" in imported(path)}
    assert starting == {"run.py"}
