"""A small checkout of Slipway on a stand-in engine, and its tasks as a person types them."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from invoke import Program
from standin_engine import Standin
from standin_product import Product

from slipway import acceptance, apply, data_tier, proof, run, state
from slipway.config import layout as layouts
from slipway.config.layout import Layout
from slipway.facts import host
from slipway.facts import lock as lock_facts
from slipway.plans import lock as locks
from slipway.tasks import (
    alerts,
    approve,
    backup,
    build,
    db,
    diagnose,
    down,
    history,
    keys,
    logs,
    maintenance,
    prune,
    release,
    restore,
    rollback,
    secrets,
    silence,
    status,
)

KEY_VARIABLES = ("SLIPWAY_SIGNING_KEY", "SLIPWAY_SIGNING_PASSPHRASE")
TREE = Path(__file__).parents[4]
SOURCES = {
    "docker-bake.hcl": "# resolved by the stand-in\n",
    "services/Dockerfile": "ARG SERVICE\nCOPY --from=requirements ${SERVICE}.txt /\n",
    "services/backend/app.py": "print('served')\n",
    "services/backend/src/slipway_backend/migrations/versions/v0001_first.py": (
        'revision = "0001"\ndown_revision = None\nphase = "expand"\n'
    ),
    "services/backup/app.py": "print('kept')\n",
    "services/monitoring/app.py": "print('watched')\n",
    "infra/nginx/Dockerfile": "FROM slipway/base:trixie\n",
    "infra/etcd/Dockerfile": "FROM slipway/base:trixie\n",
    "infra/logs/Dockerfile": "FROM slipway/base:trixie\n",
    "infra/postgres/Dockerfile": "FROM slipway/base:trixie\n",
    "infra/toolbox/Dockerfile": "FROM slipway/base:trixie\n",
    "samples/handbook.md": "Grease it with oil.\n",
    "samples/questions.json": json.dumps(
        [{"question": "With what?", "document": "handbook.md", "answer_contains": "oil"}]
    ),
    "samples/quality/documents/crane.md": "# Cranes\n\n## Wind\n\nStop at 20 m/s.\n",
    "samples/quality/questions.jsonl": json.dumps(
        {"question": "Stop when?", "relevant": [{"source": "crane.md", "heading": "Wind"}]}
    ),
}


@dataclass(frozen=True)
class Ended:
    """How a task ended, and what a person saw."""

    exit_code: int
    output: str
    errors: str


class Clock:
    """A clock that passes only while somebody sleeps, and then at once."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """The seconds that were slept."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.now += seconds


class World:
    """A checkout, an engine, and the product that a released environment serves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.monkeypatch = pytest.MonkeyPatch()
        self.standin = Standin(folder / "engine")
        self.layout = Layout(folder / "checkout")
        make_checkout(self.layout, self.standin.registry)
        self.product = Product(self.layout.samples, lambda: self.secret("admin_password"))
        self.saved: dict[str, Any] = {}

    def connect(self, patch: pytest.MonkeyPatch, *, processes: bool = False) -> None:
        """Let the toolkit, in this process and in those it starts, reach this world alone.

        Command lines of `docker` that are waited for are answered in this process, unless
        `processes` wants the program itself: a process costs more than all that is tested.
        """
        self.monkeypatch = patch
        patch.setenv("DOCKER_HOST", f"unix://{self.standin.socket}")
        patch.setenv("PATH", f"{self.standin.folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
        for name in ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "SLIPWAY_DEBUG", *KEY_VARIABLES):
            patch.delenv(name, raising=False)
        modules = (
            *(alerts, approve, backup, build, db, diagnose, down, history, keys, logs),
            *(maintenance, prune, release, restore, rollback, secrets, silence, status),
        )
        for module in modules:
            patch.setattr(module, "checkout", lambda: self.layout)
        patch.setattr(host, "read", ready_host)
        patch.setattr(proof, "client", self.product.client)
        patch.setattr(apply, "time", Clock())
        patch.setattr(data_tier, "time", Clock())
        patch.setattr(proof, "time", Clock())
        patch.setattr(acceptance, "time", Clock())
        # The name of a container that was removed is free here at once.
        patch.setattr(state, "POLL_SECONDS", 0.0)
        patch.setattr(run, "subprocess", subprocess if processes else self._at_hand())

    def _at_hand(self) -> ModuleType:
        """The module `subprocess`, but for command lines of `docker` that are waited for."""
        started = subprocess.run

        def answered(argv: Sequence[str], **options: Any) -> Any:
            if argv[0] != "docker":
                return started(argv, **options)
            answer = self.standin.command(argv[1:], options["input"] or b"", options["env"])
            said = [each.encode() for each in (answer.output, answer.errors)]
            return subprocess.CompletedProcess(argv, answer.exit_code, *said)

        spared = ModuleType("subprocess")
        vars(spared).update(vars(subprocess), run=answered)
        return spared

    def invoke(self, *words: str, typed: str = "") -> Ended:
        """Run `invoke WORDS` in this process."""
        output, errors = io.StringIO(), io.StringIO()
        code = 0
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
            self.monkeypatch.context() as patch,
        ):
            patch.setattr(sys, "stdin", io.StringIO(typed))
            try:
                Program(namespace=_tasks().namespace).run(["invoke", *words])
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Ended(code, output.getvalue(), errors.getvalue())

    def release(self, *words: str) -> Ended:
        """Run `invoke release --env dev`, with `words` behind it."""
        return self.release_to("dev", *words)

    def release_to(self, environment: str, *words: str) -> Ended:
        """Run `invoke release --env ENVIRONMENT`, with `words` behind it."""
        self.product.password = lambda: self.secret("admin_password", environment)
        return self.invoke("release", "--env", environment, *words)

    def environment(self, name: str, **settings: object) -> None:
        """Write the overlay of another environment: dev's, on ports of its own."""
        overlay = yaml.safe_load(self.layout.overlay("dev").read_text())
        https, http = free_ports()
        overlay["x-slipway"] |= {"ports": {"address": "127.0.0.1", "https": https, "http": http}}
        overlay["x-slipway"] |= settings
        self.layout.overlay(name).write_text(yaml.safe_dump(overlay))

    def save(self) -> None:
        """Remember everything as it is now."""
        self.remember("saved")

    def restore(self) -> None:
        """Make everything as it was remembered, with nothing broken and nothing noted."""
        self.recall("saved")

    def remember(self, moment: str) -> None:
        """Remember everything as it is at a moment, beside other moments."""
        # Tests of a file may be taken up again after those of another: so are its fixtures.
        shutil.rmtree(self.folder / moment, ignore_errors=True)
        for name in ("checkout", "engine/volumes"):
            shutil.copytree(self.folder / name, self.folder / moment / name)
        self.saved[moment] = (self.standin.held(), copy.deepcopy(self.product.documents))

    def recall(self, moment: str) -> None:
        """Make everything as it was at that moment, with nothing broken and nothing noted."""
        for name in ("checkout", "engine/volumes"):
            shutil.rmtree(self.folder / name)
            shutil.copytree(self.folder / moment / name, self.folder / name)
        held, documents = copy.deepcopy(self.saved[moment])
        self.standin.hold(held)
        self.product = Product(self.layout.samples, lambda: self.secret("admin_password"))
        self.product.documents = documents

    def change(self, source: str) -> None:
        """Edit a file of the checkout, so that the image made of it is another."""
        path = self.layout.root / source
        path.write_text(path.read_text() + "# edited\n")

    def configure(self, **settings: object) -> None:
        """Change keys of the environment's x-slipway block."""
        overlay = self.layout.overlay("dev")
        content = yaml.safe_load(overlay.read_text())
        content["x-slipway"] |= settings
        overlay.write_text(yaml.safe_dump(content))

    def soak(self, **settings: float) -> None:
        """Change keys of the environment's soak."""
        overlay = yaml.safe_load(self.layout.overlay("dev").read_text())
        self.configure(soak=overlay["x-slipway"]["soak"] | settings)

    def secret(self, name: str, environment: str = "dev") -> str:
        """A secret as the state keeps it."""
        return (self.standin.volume(f"slipway-{environment}-state") / "secrets" / name).read_text()

    def ledger(self, environment: str = "dev") -> list[dict[str, Any]]:
        """The lines of the ledger."""
        path = self.standin.volume(f"slipway-{environment}-state") / "ledger.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def images(self) -> set[str]:
        """What runs: service and image of every container, whichever generation they are of."""
        return {
            f"{each['Config']['Labels']['com.docker.compose.service']} {each['Config']['Image']}"
            for each in self.standin.containers.values()
        }

    def generations(self) -> set[str]:
        """The projects of the app that have containers."""
        projects = {
            each["Config"]["Labels"]["com.docker.compose.project"]
            for each in self.standin.containers.values()
        }
        return {each for each in projects if not each.endswith("-platform")}


def make_checkout(layout: Layout, registry: str) -> None:
    """Write the files of a checkout that a release reads."""
    shutil.copytree(TREE / "infra" / "compose", layout.compose)
    for name, content in SOURCES.items():
        path = layout.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    overlay = layout.overlay("dev")
    content = yaml.safe_load(overlay.read_text())
    https, http = free_ports()
    content["x-slipway"] |= {
        "registry": registry,
        "ports": {"address": "127.0.0.1", "https": https, "http": http},
        "ready_seconds": 5,
        "drain_seconds": 1,
    }
    overlay.write_text(yaml.safe_dump(content))
    make_locks(layout.root)


def make_locks(root: Path) -> None:
    """Write fresh locks that pin nothing, for the members as they are."""
    for folder in lock_facts.MEMBERS.values():
        target = root / folder / "pyproject.toml"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TREE / folder / "pyproject.toml", target)
    projects = lock_facts.projects(root)
    without = locks.excluded(projects)
    wanted = {name: locks.wanted(each, projects) for name, each in locks.ENVIRONMENTS.items()}
    wanted[locks.CONSTRAINTS] = locks.everything(projects)
    (root / lock_facts.FOLDER).mkdir(exist_ok=True)
    for name, asked in wanted.items():
        text = locks.text(locks.inputs_digest(asked, without), "")
        (root / lock_facts.FOLDER / f"{name}.txt").write_text(text)


def ready_host() -> host.HostFacts:
    """A host that lacks nothing: the host's own facts are tested elsewhere."""
    return host.HostFacts(
        system=host.System("debian", "13", "trixie", "Debian 13", "x86_64", "6.12"),
        machine=host.Machine(cpus=4, memory=1 << 35, disk_free=1 << 40, disk_path="/var/lib"),
        root=True,
        systemd=True,
        tools=host.Tools(True, True, "2.26.1", "0.13.1", True, True),
        engine=host.Engine("26.1.5", storage="overlay2"),
        base=True,
        registry=host.Registry(answers=True, image=True, port_taken=False),
        mirror=None,
    )


def free_ports() -> tuple[int, int]:
    """Two ports that nothing listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _tasks() -> Any:
    specification = importlib.util.spec_from_file_location(
        "slipway_root_tasks", layouts.checkout().root / "tasks.py"
    )
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
