"""The documents name everything there is, and their links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from invoke import Collection
from pydantic import BaseModel

from slipway.config.environment import Environment
from slipway.config.layout import checkout
from slipway.config.section import sections

ROOT = checkout().root
DOCS = ROOT / "docs"
DOCUMENTS = sorted(
    {
        ROOT / "README.md",
        *DOCS.rglob("*.md"),
        *(ROOT / "samples").glob("*.md"),
        *(path for top in ("services", "infra") for path in (ROOT / top).rglob("README.md")),
    }
)
KINDS = ("added", "changed", "fixed", "removed", "security")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """The text without fenced code, where brackets are no links and # begins no heading."""
    return re.sub(r"^ *```.*?^ *```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """What a link may name behind #, as the usual renderers make it from headings."""
    headings = re.findall(r"^#+ +(.+)$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def tables(path: Path) -> str:
    return "\n".join(line for line in path.read_text().splitlines() if line.startswith("|"))


def first_cells(path: Path) -> set[str]:
    """The code words that stand first in the rows of a document's tables."""
    return set(re.findall(r"^\| `([^`]+)` \|", tables(path), flags=re.MULTILINE))


def keys(section: type[BaseModel], above: str = "") -> Iterator[str]:
    for key, field in section.model_fields.items():
        yield above + key
        for inner in sections(field.annotation):
            yield from keys(inner, f"{above}{key}/")


@pytest.fixture(scope="module")
def tasks() -> Collection:
    """The collection that `invoke -l` shows."""
    spec = importlib.util.spec_from_file_location("tasks", ROOT / "tasks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert isinstance(module.namespace, Collection)
    return module.namespace


def typed(tasks: Collection) -> list[str]:
    """What a person types for each task: a collection's name alone for its default task."""
    return [min((name, *aliases), key=len) for name, aliases in tasks.task_names.items()]


@pytest.fixture(scope="module")
def sessions() -> dict[str, bool]:
    """Every session of `nox -l` without its parameters, and whether it runs by default."""
    command = (sys.executable, "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), "--nocolor")
    listed = subprocess.run((*command, "--list"), capture_output=True, text=True, check=True)
    marked = re.findall(r"^([*-]) (\w+)", listed.stdout, flags=re.MULTILINE)
    return {session: mark == "*" for mark, session in marked}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_relative_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        if not there.exists() or (anchor and anchor not in anchors(there)):
            dead.append(target)
    assert dead == []


def test_every_document_can_be_reached_from_the_readme() -> None:
    found: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        found.add(document)
        for target in re.findall(r"\]\(([^)#\s]+\.md)", prose(document)):
            there = (document.parent / target).resolve()
            if there.is_file() and there not in found:
                waiting.append(there)
    assert [name(path) for path in sorted(DOCS.rglob("*.md")) if path not in found] == []


def test_every_task_and_each_of_its_flags_has_its_place(tasks: Collection) -> None:
    sections = dict(
        re.findall(
            r"^### ([\w.]+)\n(.*?)(?=^##|\Z)",
            (DOCS / "reference" / "tasks.md").read_text(),
            flags=re.MULTILINE | re.DOTALL,
        )
    )
    assert set(sections) == set(typed(tasks))
    for task in typed(tasks):
        wanted = {each.name for each in tasks[task].get_arguments()}
        flags = set(re.findall(r"^\| `--([\w-]+)` \|", sections[task], flags=re.MULTILINE))
        assert flags == {flag.rstrip("_").replace("_", "-") for flag in wanted}, task
    readme = tables(ROOT / "README.md")
    assert [task for task in typed(tasks) if f"`invoke {task}`" not in readme] == []


def test_no_document_names_a_task_that_does_not_exist(tasks: Collection) -> None:
    for document in DOCUMENTS:
        named = re.findall(r"\binvoke ([a-z][a-z.]*[a-z])\b", document.read_text())
        assert set(named) <= set(typed(tasks)), name(document)


def test_every_gate_is_listed(sessions: dict[str, bool]) -> None:
    readme = tables(ROOT / "README.md")
    reference = first_cells(DOCS / "reference" / "tasks.md")
    assert "unit" in sessions
    for session, default in sessions.items():
        assert session in reference
        row = next(line for line in readme.splitlines() if f"`nox -s {session}`" in line)
        assert ("Not run by default" not in row) is default


def test_every_key_of_an_environment_is_explained_and_no_other() -> None:
    explained = first_cells(DOCS / "reference" / "environment.md")
    assert {each for each in explained if not each.startswith("infra/")} == set(keys(Environment))


def test_the_example_of_an_environment_is_a_valid_one() -> None:
    text = (DOCS / "how-to" / "add-an-environment.md").read_text()
    example = re.search(r"^ *```yaml\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)
    assert example is not None
    Environment.model_validate(yaml.safe_load(example[1])["x-slipway"])


def test_every_decision_is_in_the_list_and_its_number_is_its_own() -> None:
    listed = (DOCS / "decisions" / "README.md").read_text()
    files = sorted(path.name for path in (DOCS / "decisions").glob("[0-9]*.md"))
    assert [each for each in files if f"({each})" not in listed] == []
    numbers = [each[:4] for each in files]
    assert len(set(numbers)) == len(numbers)


def test_every_change_is_of_a_known_kind_and_says_something() -> None:
    for fragment in sorted((ROOT / "changelog.d").iterdir()):
        topic, kind, suffix = fragment.name.split(".")
        assert topic
        assert (kind in KINDS, suffix) == (True, "md"), fragment.name
        assert fragment.read_text().strip().endswith(".")
