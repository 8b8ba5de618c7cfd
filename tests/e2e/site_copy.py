"""A copy of this checkout with an environment of its own, used as a person would use it."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import httpx
import yaml

ROOT = Path(__file__).resolve().parents[2]
# Two checkouts can run these tests at once on one engine, each with a name and ports of its own.
NAME = os.environ.get("SLIPWAY_E2E_NAME", "e2e")
HTTPS, HTTP = map(int, os.environ.get("SLIPWAY_E2E_PORTS", "18443,18080").split(","))
PORTS = {"address": "127.0.0.1", "https": HTTPS, "http": HTTP}


def merged(*overlays: dict[str, Any]) -> dict[str, Any]:
    """What several overlays say of the services, dictionary by dictionary."""
    whole: dict[str, Any] = {}
    for overlay in overlays:
        for name, value in overlay.items():
            known = whole.get(name)
            both = isinstance(known, dict) and isinstance(value, dict)
            whole[name] = merged(known, value) if both else value
    return whole


@dataclass(frozen=True)
class Answer:
    """How a command ended, and everything that it printed."""

    exit_code: int
    text: str


class Site:
    """A copy of the checkout whose environment `NAME` is dev, on other ports.

    So the tests can change files and break releases without touching the checkout, and without
    touching the dev environment of the person who runs them.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        self.engine = docker.from_env()
        self.first_release = ""
        self.services: dict[str, Any] = {}
        self._copy()
        self.set_environment()

    def invoke(self, *arguments: str, input: str | None = None) -> Answer:
        """Type `invoke ...` in the copy."""
        done = subprocess.run(
            (sys.executable, "-m", "invoke", *arguments),
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root / "src")},
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(f"$ invoke {' '.join(arguments)}\n{done.stdout}[exit code {done.returncode}]")
        return Answer(done.returncode, done.stdout)

    def start(self, *arguments: str, engine: str = "") -> subprocess.Popen[str]:
        """Type `invoke ...` in the copy without waiting for its end.

        `engine` is the address at which it reaches the engine, where that is not the usual one.
        """
        return subprocess.Popen(
            (sys.executable, "-m", "invoke", *arguments),
            cwd=self.root,
            env={
                **os.environ,
                "PYTHONPATH": str(self.root / "src"),
                **({"DOCKER_HOST": engine} if engine else {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def status(self) -> dict[str, Any]:
        """What `invoke status --json` says."""
        answer = self.invoke("status", "--env", NAME, "--json")
        found = json.loads(answer.text[answer.text.index("{") : answer.text.rindex("}") + 1])
        assert isinstance(found, dict)
        return found

    def image(self, service: str) -> str:
        """The image, by digest, that a service runs from."""
        found = (each for each in self.status()["containers"] if each["service"] == service)
        return str(next(found)["image"])

    def containers(self) -> dict[str, str]:
        """Name of each container of the environment -> its id and the time of its start."""
        return {
            container.name: f"{container.id} {container.attrs['State']['StartedAt']}"
            for container in self.engine.containers.list(
                filters={"label": f"slipway.environment={NAME}"}
            )
            if container.labels.get("com.docker.compose.project")
        }

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace the only occurrence of `old` in a file of the copy."""
        text = (self.root / path).read_text()
        assert text.count(old) == 1, f"{path} has {text.count(old)} times {old!r}"
        (self.root / path).write_text(text.replace(old, new))

    def set_environment(self, **changes: Any) -> None:
        """Write the overlay of the environment: dev's, with other ports and these changes.

        `self.services` is merged into what dev says of the services.
        """
        folder = self.root / "infra" / "compose" / "environments"
        overlay = yaml.safe_load((folder / "dev.yaml").read_text())
        overlay["x-slipway"] |= {"ports": PORTS, **changes}
        overlay["services"] = merged(overlay["services"], self.services)
        (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(overlay, sort_keys=False))

    def put_back(self) -> None:
        """Have the environment run as its overlay says without changes, for whoever comes next."""
        self.set_environment()
        answer = self.invoke("release", "--env", NAME)
        assert answer.exit_code == 0, answer.text

    @property
    def url(self) -> str:
        """Where the environment is reached."""
        return f"https://localhost:{PORTS['https']}"

    @property
    def authority(self) -> Path:
        """The file with the authority that signed the edge's certificate."""
        return self.root / ".slipway" / NAME / "ca.crt"

    @property
    def trust(self) -> ssl.SSLContext:
        """A context that trusts the environment's authority and no other."""
        return ssl.create_default_context(cafile=str(self.authority))

    def client(self, *, kept: int = 20) -> httpx.Client:
        """A client that is logged in as the administrator; it keeps so many idle connections."""
        password = (self.root / ".slipway" / NAME / "admin_password").read_text()
        login = {"username": "admin", "password": password}
        answer = httpx.post(f"{self.url}/v1/login", json=login, verify=self.trust, timeout=30)
        assert answer.status_code == 200, answer.text
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.Client(
            base_url=self.url,
            verify=self.trust,
            headers=headers,
            timeout=30,
            limits=httpx.Limits(max_keepalive_connections=kept),
        )

    def _copy(self) -> None:
        listed = subprocess.run(
            (
                "git",
                "-C",
                str(ROOT),
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ),
            capture_output=True,
            check=True,
            text=True,
        )
        for name in listed.stdout.split("\0"):
            if name and (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.root / name)
        identity = ("-c", "user.name=e2e", "-c", "user.email=e2e@localhost")
        for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "-m", "copy")):
            subprocess.run(("git", *identity, *command), cwd=self.root, check=True)
