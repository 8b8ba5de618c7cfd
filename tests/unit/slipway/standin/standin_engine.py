"""A stand-in for a Docker engine, its `docker` program and a registry: enough for a release.

The engine speaks the Docker API's few endpoints that Slipway uses, on a Unix socket. The program
understands exactly the command lines that src/slipway/commands builds and sends them through the
same socket; any other is refused and remembered in `unknown`. What containers would do is told
to it beforehand in `faults`. The toolbox is the real one, on folders in place of volumes.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import string
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[3] / "infra/toolbox/src"))

import standin_backup  # noqa: E402
import standin_inspect  # noqa: E402
import standin_monitoring  # noqa: E402
import standin_tier  # noqa: E402
from standin_registry import Registry  # noqa: E402

from slipway_toolbox import vault  # noqa: E402
from slipway_toolbox.__main__ import VERBS  # noqa: E402
from slipway_toolbox.store import Denied  # noqa: E402

BASE_ID = "sha256:" + "b" * 64
CONFINED = tuple(
    "--read-only --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE"
    " --cap-add FOWNER --security-opt no-new-privileges:true --pids-limit 32 --memory 128m"
    " --cpus 1 --user 0:0 --log-opt max-size=1m".split()
)
ALONE = ("--network", "none", *CONFINED)
BESIDE = ("--network", "host", *CONFINED)
PUSHED = ("--push", "--progress", "plain", "--provenance=false", "--sbom=false")
HELD = (
    *("containers", "networks", "volumes", "images", "toolboxes", "generations"),
    *("maintenance", "serving_edges", "draining", "number", "schemas", "database", "primaries"),
    *("points", "restored", "watch", "draining_ended", "levels"),
)
DENIED = 3
LABEL = "com.docker.compose."
DOCUMENTS = "slipway/releases"
BUCKETS = ("0.05", "0.1", "0.5", "1", "inf")
STARTED = "2026-01-02T03:04:05.678901234Z"


@dataclass(frozen=True)
class Answers:
    """Requests that a generation answers, how many of them with a failure, and in what time."""

    requests: int
    failed: int = 0
    seconds: str = "0.05"


@dataclass
class Faults:
    """What goes wrong, until it is taken back.

    `service` maps a service to how its new containers fare: unhealthy, starting, exited or oom;
    `log` to what they say, `ports` to where they listen, `blockers` who holds the database's locks.
    With `migrate_goes_on` a migration outlasts whoever waits for it.
    The edge refuses `edge_refusals` times, or always where that is negative.
    The edge whose container is `edge_hung` runs and does not answer; `unstoppable` cannot be
    stopped. `edge_refuses` maps a generation to the edge's reason. `answers` maps a generation to
    what it answers between two questions to the edge that serves, `answers_after_down` what they
    answer once one of them was taken down, `restarting` are the services whose containers
    restart between two looks at them. `member` maps a member of the data tier to its state, and
    `switchover` is why none takes the writes over; without `fails_over` nobody does when who has
    them is gone. `backup` maps a verb of the backup service to what it ends with instead,
    `parts` one of a worker's to its refusal. `lost` are verbs of containers that run once whose
    first answer the engine loses.
    `die_after_step` kills the one who
    releases (nothing of theirs reaches the engine any more) when that many steps are done, before
    they can say so; `die_before` when the named toolbox verb is called. After as many steps as
    `steal_lease_after_step` says, the lease goes to somebody else.
    """

    service: dict[str, str] = field(default_factory=dict)
    log: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    blockers: str = ""
    up: str = ""
    lost: set[str] = field(default_factory=set)
    edge_refusals: int = -1
    disk_free: int = 1 << 40
    host_ports: tuple[int, ...] = ()
    edge_refuses: dict[int, str] = field(default_factory=dict)
    edge_silent: bool = False
    edge_hung: str = ""
    unstoppable: str = ""
    answers: dict[int, Answers] = field(default_factory=dict)
    answers_after_down: dict[int, Answers] = field(default_factory=dict)
    restarting: tuple[str, ...] = ()
    member: dict[str, str] = field(default_factory=dict)
    switchover: str = ""
    fails_over: bool = True
    backup: dict[str, standin_backup.Said] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    door_refuses: str = ""
    no_nat: str = ""
    edge_knows_no_maintenance: bool = False
    knows_no_level: bool = False
    migrate: str = ""
    migrate_goes_on: bool = False
    build: str = ""
    config: str = ""
    port_taken: str = ""
    unpushed: bool = False
    die_after_step: int | None = None
    steal_lease_after_step: int | None = None
    die_before: str = ""


@dataclass
class Answer:
    """What a command printed and how it ended."""

    output: str = ""
    errors: str = ""
    exit_code: int = 0


@dataclass
class LogStore:
    """What the log store finds, whatever it is asked; and what it was asked."""

    lines: list[dict[str, str]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)


class Standin:
    """Engine, `docker` program and registry; everything they hold is an attribute."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.containers: dict[str, dict[str, Any]] = {}
        self.networks: dict[str, dict[str, Any]] = {}
        self.volumes: dict[str, dict[str, Any]] = {}
        self.images: dict[str, str] = {"slipway/base:trixie": BASE_ID}
        self.toolboxes: dict[str, dict[str, str]] = {}
        self.template = (HERE / "resolved.template").read_text()
        self.schemas: dict[str, str] = {}
        self.parts: dict[str, dict[str, Any]] = {}
        self.compared: dict[str, Any] = {}
        self.database: dict[str, Any] = {}
        self.generations: dict[str, int] = {}
        self.resolved: dict[str, str] = {}
        self.maintenance: dict[str, Any] = {"on": False}
        self.serving_edges: dict[str, str] = {}
        self.draining: set[str] = set()
        self.primaries: dict[str, str | None] = {}
        self.points: dict[str, list[dict[str, Any]]] = {}
        self.restored: dict[str, str] = {}
        #: Projects whose backends were told that nobody comes any more.
        self.draining_ended: list[str] = []
        self.read_only: set[str] = set()
        self.copies: dict[str, standin_backup.Copy] = {}
        self.watch = standin_monitoring.Watch()
        self.log_store = LogStore()
        #: Whose log level was asked for, with the words that change it.
        self.levels: list[tuple[str, tuple[str, ...]]] = []
        #: What each user is called in the logs.
        self.users = {"ada": "5c1b0f3a9d27e684"}
        self.number = 0
        self.unknown: list[str] = []
        self.forget()
        self._lock = threading.Lock()
        (folder / "bin").mkdir(parents=True)
        program = folder / "bin" / "docker"
        program.write_text(f"#!{sys.executable} -SE\n{(HERE / 'docker').read_text()}")
        program.chmod(0o755)
        self.socket = folder / "engine.sock"
        self._server = _Unix(str(self.socket), _handler(self.answer))
        self.store = Registry()
        self.registry = self.store.name

    def __enter__(self) -> Standin:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.store.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.store.__exit__()
        self._server.shutdown()
        self._server.server_close()

    # What a test says and asks

    @property
    def generation(self) -> int | None:
        """What the edge of dev serves."""
        return self.generations.get("dev")

    @generation.setter
    def generation(self, serves: int | None) -> None:
        self.generations.pop("dev", None)
        if serves is not None:
            self.generations["dev"] = serves

    @property
    def serving_edge(self) -> str | None:
        """Which edge of dev gets new connections."""
        return self.serving_edges.get("dev")

    @serving_edge.setter
    def serving_edge(self, name: str | None) -> None:
        self.serving_edges.pop("dev", None)
        if name is not None:
            self.serving_edges["dev"] = name

    def forget(self) -> None:
        """Take back every fault, and forget what was asked and changed so far."""
        self.faults = Faults()
        self.in_flight: list[dict[str, int]] = []
        self.counted: dict[str, dict[int, dict[str, Any]]] = {}
        self.absent: set[str] = set()
        self.cache_kept = 0
        self.open_connections: list[int] = []
        self.changes: list[str] = []
        self.commands: list[tuple[str, ...]] = []
        self.dead = False
        self.steps_done = 0
        self.dated = 0
        self.step = ""
        self.on_moment: Callable[[str, str], None] = lambda _when, _step: None

    def settle(self) -> None:
        """Wait until what was asked last is answered."""
        with self._lock:
            pass

    def held(self) -> dict[str, Any]:
        """A copy of all that engine and registry hold, but for what is in the volumes."""
        held = copy.deepcopy({name: getattr(self, name) for name in HELD})
        return held | {"store": self.store.held()}

    def hold(self, held: Mapping[str, Any]) -> None:
        """Hold what was held then, with nothing wrong."""
        for name in HELD:
            setattr(self, name, held[name])
        self.store.hold(held["store"])
        self.forget()

    def revive(self) -> None:
        """Time has passed since the release was killed: its lease is over, its toolbox gone."""
        self.forget()
        self.toolboxes.clear()
        self.change_lease(expires=0)

    def run_registry(self) -> None:
        """Let the registry be a container of this engine."""
        bound = {"5000/tcp": [{"HostPort": self.registry.rpartition(":")[2]}]}
        self.containers["registry"] = {
            "Id": "registry",
            "Name": "/slipway-registry",
            "Image": "sha256:0",
            "State": {"Status": "running"},
            "Config": {"Labels": {}},
            "HostConfig": {"PortBindings": bound},
        }

    def project(self, name: str) -> list[dict[str, Any]]:
        """The containers of a Compose project."""
        return [
            each
            for each in self.containers.values()
            if each["Config"]["Labels"].get(LABEL + "project") == name
        ]

    def volume(self, name: str) -> Path:
        """The folder that stands for a volume."""
        return self.folder / "volumes" / name

    def change_lease(self, **changed: Any) -> None:
        """Write into the lease of the environment, behind everybody's back."""
        for path in self.folder.glob("volumes/*-state/lease.json"):
            path.write_text(json.dumps(json.loads(path.read_text()) | changed))

    # The Docker API

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes] | None:
        """One request of the Docker API, or one command line; None hangs up."""
        with self._lock:
            if self.dead:
                return None
            url = urlsplit(target)
            path = unquote(url.path).removeprefix("/v1.45")
            if path == "/standin/command":
                return self._called(body.decode())
            content = json.loads(body or b"{}")
            if method != "GET":
                self.changes.append(f"{method} {path} {content.get('Name', '')}".rstrip())
            return self._api(method, path, parse_qs(url.query), content)

    def _api(
        self, method: str, path: str, query: Mapping[str, list[str]], content: dict[str, Any]
    ) -> tuple[int, bytes]:
        found: Any = None
        match (method, *path.strip("/").split("/")):
            case ("GET", "_ping"):
                return 200, b"OK"
            case ("GET", "version"):
                found = {"ApiVersion": "1.45", "Version": "26.1.5"}
            case ("GET", "containers", "json"):
                wanted = json.loads(query.get("filters", ["{}"])[0]).get("label", [])
                found = [
                    {"Id": identity, "Labels": labels, "ImageID": each["Image"]}
                    for identity, each in self.containers.items()
                    if {*wanted} <= {*(labels := each["Config"]["Labels"])}
                ]
            case ("GET", "containers", identity, "json"):
                found = self.containers.get(identity)
                labels = found["Config"]["Labels"] if found else {}
                if found and labels.get(LABEL + "service") in self.faults.restarting:
                    found["RestartCount"] += 1
                if identity in self.toolboxes:
                    found = {"Id": identity}
            case ("GET", "containers", identity, "logs"):
                name = self.containers[identity]["Name"]
                said = f"{name} said this\n{self._fault(identity, self.faults.log, '')}"
                if query.get("timestamps") == ["1"]:
                    said = self._dated(said)
                lines = said.encode()
                return 200, struct.pack(">BxxxL", 1, len(lines)) + lines
            case ("GET", "events"):
                wanted = json.loads(query["filters"][0])
                lines = [json.dumps({"Action": each}) for each in self._events(wanted)]
                return 200, "\n".join(lines).encode()
            case ("DELETE", "containers", identity) if identity in self.containers:
                del self.containers[identity]
                return 204, b""
            case ("GET", "networks" | "volumes" as kind):
                held = list(getattr(self, kind).values())
                wanted = list(json.loads(query.get("filters", ["{}"])[0]).get("label", ()))
                held = [
                    each
                    for each in held
                    if all(w in [f"{k}={v}" for k, v in each["Labels"].items()] for w in wanted)
                ]
                found = held if kind == "networks" else {"Volumes": held}
            case ("GET", "networks", name) if name in self.networks:
                found = self.networks[name] | {"Containers": self._joined(name)}
            case ("GET", "networks" | "volumes" as kind, name):
                found = getattr(self, kind).get(name)
            case ("POST", "networks" | "volumes" as kind, "create"):
                found = self._make(kind, content["Name"], content)
            case ("DELETE", "networks" | "volumes" as kind, name):
                getattr(self, kind).pop(name)
                if kind == "volumes":
                    shutil.rmtree(self.volume(name), ignore_errors=True)
                return 204, b""
            case ("GET", "images", "json"):
                asked = json.loads(query.get("filters", ["{}"])[0]).get("reference")
                found = self._listed(asked)
            case ("GET", "images", *parts, "json") if "/".join(parts) in self.images:
                found = {"Id": self.images["/".join(parts)], "RepoTags": []}
            case ("GET", "images", *parts, "json") if "sha256:" in parts[-1]:
                digest = parts[-1].rpartition("@")[2]
                if digest in self.absent:
                    return 404, json.dumps({"message": f"No such image: {path}"}).encode()
                labels = {"slipway.schema": self.schemas.get(digest, "")}
                config = standin_inspect.IMAGE | {"Labels": labels}
                found = {"Id": digest, "Config": config, "RootFS": standin_inspect.LAYERS}
            case ("DELETE", "images", *parts):
                digest = self._digest("/".join(parts))
                if any(each["Image"] == digest for each in self.containers.values()):
                    return 409, json.dumps({"message": "image is in use"}).encode()
                self.absent.add(digest)
                found = []
            case ("POST", "build", "prune"):
                self.cache_kept = int(query["keep-storage"][0])
                found = {"SpaceReclaimed": 0}
            case ("GET", "images", *_):
                return 404, json.dumps({"message": f"No such image: {path}"}).encode()
            case _:
                self.unknown.append(f"{method} {path}")
        if found is None:
            return 404, json.dumps({"message": f"no such thing: {path}"}).encode()
        return (201 if method == "POST" else 200), json.dumps(found).encode()

    def _digest(self, reference: str) -> str:
        """The digest of an image by its tag or its digest, with or without the registry."""
        name = reference.removeprefix(f"{self.registry}/")
        return name.partition("@")[2] or self.store.tags[name]

    def _listed(self, references: Sequence[str] | None) -> list[dict[str, Any]]:
        """What was pushed, as the engine that built it still has it; the newest first."""

        def asked_for(name: str) -> bool:
            repository = name.partition(":")[0]
            return not references or f"{self.registry}/{repository}" in references

        found = [
            (name, digest)
            for name, digest in self.store.tags.items()
            if digest not in self.absent and asked_for(name) and not name.startswith(DOCUMENTS)
        ]
        return [
            {
                "Id": digest,
                "Created": number,
                "Size": 1 << 20,
                "Labels": {"slipway.schema": self.schemas.get(digest, "")},
                "RepoTags": [f"{self.registry}/{name}"],
                "RepoDigests": [f"{self.registry}/{name.split(':')[0]}@{digest}"],
            }
            for number, (name, digest) in reversed([*enumerate(found)])
        ]

    def _fault(self, identity: str, faults: Mapping[str, Any], usual: Any) -> Any:
        service = self.containers[identity]["Config"]["Labels"][LABEL + "service"]
        return faults.get(service, usual)

    def _events(self, wanted: Mapping[str, Sequence[str]]) -> Sequence[str]:
        """The events of a container of a kind; whatever was started again ended before that."""
        (identity,), kinds = wanted["container"], wanted["event"]
        again = self.containers[identity]["RestartCount"]
        fault = self._fault(identity, self.faults.service, "")
        return [each for each in (fault,) * again if each in kinds]

    def _joined(self, network: str) -> dict[str, dict[str, str]]:
        return {
            each["Id"]: {"Name": each["Name"].removeprefix("/")}
            for each in self.containers.values()
            if network in each["NetworkSettings"]["Networks"]
        }

    def _make(self, kind: str, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
        labels = content.get("Labels") or {}
        internal = bool(content.get("Internal"))
        made = {"Name": name, "Id": name, "Labels": labels, "Internal": internal}
        getattr(self, kind)[name] = made
        if kind == "volumes":
            self.volume(name).mkdir(parents=True, exist_ok=True)
        return made

    # The `docker` program

    def command(self, words: Sequence[str], typed: bytes, env: Mapping[str, str] | None) -> Answer:
        """Answer one command line, as its process would get it."""
        with self._lock:
            if self.dead:
                return Answer(errors="the stand-in engine hung up\n", exit_code=1)
            self.commands.append(tuple(words))
            told = {"input": typed.decode(), "env": dict(env or os.environ)}
            done = self._command(tuple(words), told)
            hung_up = Answer(errors="the stand-in engine hung up\n", exit_code=1)
            return hung_up if self.dead else done

    def _called(self, request: str) -> tuple[int, bytes] | None:
        typed, words, told = (part.split("\1") for part in request.split("\2"))
        env = dict(each.split("=", 1) for each in told)
        self.commands.append(tuple(words))
        done = self._command(tuple(words), {"input": typed[0], "env": env})
        if self.dead:
            return None
        return 200, f"{done.exit_code}\2{done.output}\2{done.errors}".encode()

    def _command(self, argv: tuple[str, ...], request: Mapping[str, Any]) -> Answer:
        match argv:
            case ("compose", "--project-name", project, *rest):
                return self._compose(project, tuple(rest), request)
            case ("buildx", "bake", "--file", file, "--print", *targets):
                return self._describe(Path(file), targets)
            case ("buildx", "bake", "--file", _, *rest) if tuple(rest[: len(PUSHED)]) == PUSHED:
                return self._build(rest[len(PUSHED) :], request["env"])
            case ("run", "--rm", "--interactive", *rest) if standin_backup.verb(rest):
                return self._recover(rest, request["input"])
            case ("run", "--rm", "--network", "none", *rest) if "install" in rest:
                mount = rest[rest.index("--volume") + 1]
                assert mount.partition(":")[0] in self.volumes
                return Answer()
            case ("run", "--rm", "--interactive", *rest):
                return self._read(tuple(rest), argv, request["input"])
            case ("run", "--rm", "--detach", "--init", "--name", name, *rest):
                return self._hold(name, tuple(rest), argv)
            case ("exec", "--interactive", name, "slipway-toolbox", verb):
                return self._toolbox(name, verb, json.loads(request["input"]))
            case ("exec", identity, "psql", *_) if identity in self.containers:
                return self._psql()
            case ("exec", identity, "slipway-edge", "door", *rest) if identity in self.containers:
                return self._door(identity, rest)
            case ("exec", identity, "slipway-edge", *rest) if identity in self.containers:
                return self._edge(identity, rest)
            case ("exec", identity, "slipway-member", *rest) if identity in self.containers:
                return self._member(self._environment(identity), rest)
            case ("exec", identity, "slipway-backup", *rest) if identity in self.containers:
                return self._backup(self._environment(identity), rest)
            case ("exec", identity, "promtool", *rest) if identity in self.containers:
                return Answer(*self.watch.promtool(rest))
            case ("exec", identity, "amtool", *rest) if identity in self.containers:
                return Answer(*self.watch.amtool(rest))
            case ("exec", "--interactive", identity, "slipway-monitoring", "releases") if (
                identity in self.containers
            ):
                return Answer(*self.watch.tell(request["input"]))
            case ("exec", "--interactive", identity, "slipway-logs", "ask", path) if (
                identity in self.containers
            ):
                self.log_store.asked.append({"path": path, **json.loads(request["input"])})
                return Answer("".join(f"{json.dumps(line)}\n" for line in self.log_store.lines))
            case ("exec", "--interactive", identity, "slipway-backend", "parts", verb, name) if (
                identity in self.containers
            ):
                return self._parts(verb, name, request["input"])
            case ("exec", identity, "slipway-backend", "parts", verb, name, *_) if (
                identity in self.containers
            ):
                return self._parts(verb, name)
            case ("exec", identity, "slipway-backend", "log-level", *words) if (
                identity in self.containers
            ):
                return self._level(identity, tuple(words))
            case ("exec", identity, "slipway-backend", "users", "hash", "--", username) if (
                identity in self.containers
            ):
                if username in self.users:
                    return Answer(f"{self.users[username]}\n")
                said = f"slipway-backend: There is no user {username!r}\n"
                return Answer(errors=said, exit_code=2)
            case ("exec", identity, "cat", *_) if identity in self.containers:
                port = self._fault(identity, self.faults.ports, 8000)
                return Answer(f"   0: 00000000:{port:04X} 00000000:0000 0A 00000000:00000000\n")
            case ("exec", "--user", "10003:10003", identity, "psql", *_) if (
                identity in self.containers
            ):
                return Answer(self.faults.blockers)
            case (
                "run",
                "--rm",
                "--network",
                "none",
                *_,
                "--volume",
                mount,
                "--entrypoint",
                "true",
                _,
            ):
                assert mount.partition(":")[0] in self.volumes
                return Answer()
            case ("run", "--rm", "--pull", "never", *_, "door", "try"):
                refused = self.faults.no_nat
                return Answer(errors=f"{refused}\n", exit_code=1) if refused else Answer()
            case ("container", "inspect", "--format", "{{.Id}}", name):
                there = self.toolboxes.get(name)
                return Answer(f"{there['id']}\n") if there else Answer(exit_code=1)
            case ("stop" | "start" as verb, *_, "registry"):
                self.changes.append(f"registry {verb}")
                return Answer("registry\n")
            case ("stop", "--time", _, identity) if identity == self.faults.unstoppable:
                return Answer(errors="Error response from daemon: timed out\n", exit_code=1)
            case ("stop", "--time", _, identity) if identity in self.containers:
                self.changes.append(f"stop {self.containers[identity]['Name'][1:]}")
                self.containers[identity]["State"]["Status"] = "exited"
                return Answer()
            case ("rm", "--force", identity) if identity in self.containers:
                self.changes.append(f"remove {self.containers[identity]['Name'][1:]}")
                del self.containers[identity]
                self.on_moment("during", self.step)
                return Answer()
            case ("run", "--rm", "--volumes-from", "registry", *rest) if rest[-2:] == [
                "garbage-collect",
                "/etc/slipway/registry.yml",
            ]:
                assert self.changes[-1] == "registry stop"
                self.changes.append("registry garbage-collect")
                return Answer()
            case ("rm", "--force", identity):
                self.toolboxes = {
                    name: each
                    for name, each in self.toolboxes.items()
                    if identity not in {name, each["id"]}
                }
                return Answer(f"{identity}\n")
            case ("pull", "--quiet", reference):
                digest = reference.partition("@")[2]
                self.changes.append(f"pull {reference.partition('@')[0].partition('/')[2]}")
                self.absent.discard(digest)
                return Answer(f"{reference}\n", exit_code=int(digest not in self.store.manifests))
        return self._refuse(argv)

    def _psql(self) -> Answer:
        if self.database:
            return Answer(json.dumps(self.database))
        return Answer(errors='ERROR:  relation "alembic_version" does not exist\n', exit_code=1)

    def _refuse(self, argv: Sequence[str]) -> Answer:
        self.unknown.append(" ".join(argv))
        return Answer(
            errors=f"the stand-in does not know: docker {' '.join(argv)}\n", exit_code=125
        )

    def _compose(self, project: str, rest: tuple[str, ...], request: Mapping[str, Any]) -> Answer:
        match rest:
            case (*files, "config", "--format", "json"):
                return self._resolve(files[1::2], request["env"])
            case ("--file", file, "up", "--detach", "--no-deps", *services):
                # Of two dollar signs the real one makes one when it reads a file.
                document = json.loads(Path(file).read_text().replace("$$", "$"))
                return self._up(project, document, services)
            case ("--file", file, "run", "--rm", "--no-deps", "--no-TTY", "migrate"):
                document = json.loads(Path(file).read_text())
                assert "migrate" in document["services"]
                self.changes.append("migrate")
                self.on_moment("during", self.step)
                if self.faults.migrate_goes_on:
                    self._run_on(project, document)
                failed = bool(self.faults.migrate)
                return Answer(errors=f"{self.faults.migrate}\n", exit_code=int(failed))
            case ("--file", _, "run", "--rm", "--no-deps", "--no-TTY", "postgres", verb):
                self.changes.append(f"postgres {verb}")
                self.on_moment("during", self.step)
                return Answer()
            case ("--file", file, "run", "--rm", "--no-deps", "--no-TTY", "backup", *words):
                return self._restore(project, json.loads(Path(file).read_text()), words)
            case ("logs", "--timestamps", "--tail", _, *services):
                return Answer(f"{project}: {' '.join(services)}\n")
            case ("kill", "--signal", "SIGTERM", "backend"):
                self.draining_ended.append(project)
                return Answer()
            case ("down",) | ("down", "--timeout", _):
                self.changes.append(f"down {project}")
                self.faults.answers |= self.faults.answers_after_down
                for each in self.project(project):
                    del self.containers[each["Id"]]
                    self.on_moment("during", self.step)
                return Answer()
        return self._refuse(("compose", "--project-name", project, *rest))

    def _restore(self, project: str, document: Mapping[str, Any], words: Sequence[str]) -> Answer:
        """As the backup service restores, which refuses a folder where a server runs."""
        verb, *rest = words
        mounted = {each["target"]: each for each in document["services"]["backup"]["volumes"]}
        assert {"/restore/postgres", "/restore/files", "/run/secrets"} <= set(mounted)
        self.read_only = {at for at, each in mounted.items() if each.get("read_only")}
        name = document["volumes"][mounted["/restore/postgres"]["source"]]["name"]
        assert name in self.volumes
        if any(
            mount.get("Name") == name
            for each in self.containers.values()
            for mount in each.get("Mounts", ())
        ):
            return Answer(*standin_backup.failed(2, "a server runs there", "stop it first"))
        self.changes.append(f"restore {' '.join(rest[:2])}")
        self.on_moment("during", self.step)
        if verb in self.faults.backup:
            return Answer(*self.faults.backup[verb])
        self.restored[name] = rest[1]
        if verb in self.faults.lost:
            self.faults.lost.remove(verb)
            return Answer("".join(standin_backup.restored(rest[1])[0].splitlines(True)[:1]))
        return Answer(*standin_backup.restored(rest[1]))

    def _recover(self, rest: Sequence[str], typed: str) -> Answer:
        """As the backup service works on a repository that no environment runs on."""
        volumes = {
            at: name
            for name, at, *_ in (
                value.split(":") for key, value in pairwise(rest) if key == "--volume"
            )
        }
        assert set(volumes.values()) <= set(self.volumes)
        verb = standin_backup.verb(rest)
        home = volumes.get("/var/lib/slipway-backup")
        folder = standin_backup.folder(rest) or standin_backup.SECOND
        if verb == "state" and home:
            folder = (self.volume(home) / "adopted").read_text()
        if verb != "survey":
            self.changes.append(
                f"{verb} {'' if verb == 'adopt' else rest[rest.index('--point') + 1]}"
            )
            self.on_moment("during", self.step)
        if verb in self.faults.backup:
            return Answer(*self.faults.backup[verb])
        copied = self.copies.get(folder)
        if copied is None:
            said = f"invalid mount config: bind source path does not exist: {folder}"
            return Answer(errors=f"docker: Error response from daemon: {said}\n", exit_code=125)
        if verb == "adopt":
            assert home
            (self.volume(home) / "adopted").write_text(folder)
            self.points[home.split("-")[1]] = copy.deepcopy(copied.points)
            return Answer(json.dumps({"adopted": 7}) + "\n")
        if json.loads(typed) != copied.secrets:
            return Answer(
                *standin_backup.failed(1, "the key does not open repository 1", "give the key")
            )
        if verb == "state":
            copied.restore(self.volume(volumes["/restore/state"]))
            return Answer(json.dumps({"state": "there"}) + "\n")
        return Answer(*copied.survey())

    def _run_on(self, project: str, document: Mapping[str, Any]) -> NoReturn:
        """Let the migration go on, while the program that waits for it is out of time."""
        labels = {
            LABEL + "project": project,
            LABEL + "service": "migrate",
            LABEL + "oneoff": "True",
        }
        self.containers["migration"] = {
            "Id": "migration",
            "Name": f"/{project}-migrate-run-1",
            "Image": document["services"]["migrate"]["image"].rpartition("@")[2],
            "Config": {"Labels": labels},
            "NetworkSettings": {"Networks": {}},
        }
        raise subprocess.TimeoutExpired("docker", 1)

    def _resolve(self, files: Sequence[str], env: Mapping[str, str]) -> Answer:
        if self.faults.config:
            return Answer(errors=f"{self.faults.config}\n", exit_code=15)
        self.resolved = {Path(file).name: Path(file).read_text() for file in files}
        template = string.Template(self.template)
        # Values stand in a document of JSON.
        quoted = {key: json.dumps(each)[1:-1] for key, each in env.items()}
        return Answer(template.substitute(quoted))

    def _up(self, project: str, document: Mapping[str, Any], rest: Sequence[str]) -> Answer:
        forced = "--force-recreate" in rest
        services = [each for each in rest if not each.startswith("-")] or document["services"]
        self.changes.append(f"up {project} {' '.join(services)}" + (" again" if forced else ""))
        if self.faults.port_taken or (self.faults.up and not project.endswith("-platform")):
            return Answer(errors=f"{self.faults.port_taken or self.faults.up}\n", exit_code=1)
        there = {(each["Name"], each["Config"]["Labels"]["slipway.config-hash"]): each
                 for each in self.project(project)}  # fmt: skip
        for service in services:
            definition = document["services"][service]
            for number in range(1, definition.get("scale", 1) + 1):
                made = self._container(project, service, number, document)
                same = (made["Name"], made["Config"]["Labels"]["slipway.config-hash"]) in there
                if same and not forced:
                    continue
                for each in self.project(project):
                    if each["Name"] == made["Name"]:
                        del self.containers[each["Id"]]
                self.containers[made["Id"]] = made
                self.on_moment("during", self.step)
        return Answer()

    def _container(
        self, project: str, service: str, number: int, document: Mapping[str, Any]
    ) -> dict[str, Any]:
        definition = document["services"][service]
        self.number += 1
        fault = self.faults.service.get(service, "healthy")
        gone = fault in {"exited", "oom"}
        probe = {"Start": STARTED, "ExitCode": 1, "Output": "503 the database does not answer\n"}
        return {
            "Id": sha256(str(self.number).encode()).hexdigest(),
            "Name": f"/{project}-{service}-{number}",
            "Image": definition["image"].rpartition("@")[2],
            "RestartCount": 0,
            "Password": self._password(service, definition["labels"]["slipway.environment"]),
            "State": {
                "Status": "exited" if gone else "running",
                "ExitCode": {"exited": 3, "oom": 137}.get(fault, 0),
                "OOMKilled": fault == "oom",
                "StartedAt": STARTED,
                "Health": {
                    "Status": "unhealthy" if gone else fault,
                    "Log": [probe] if fault == "unhealthy" else [],
                },
            },
            "Config": {
                **standin_inspect.configured(definition),
                "Tty": False,
                "Labels": {
                    **definition["labels"],
                    LABEL + "project": project,
                    LABEL + "service": service,
                    LABEL + "container-number": str(number),
                    LABEL + "oneoff": "False",
                },
            },
            "HostConfig": standin_inspect.hosted(definition),
            "Mounts": standin_inspect.mounts(definition, document),
            "NetworkSettings": {
                "Networks": standin_inspect.networks(
                    definition,
                    document,
                    f"172.30.{self.number // 250}.{self.number % 250 + 2}",
                )
            },
        }

    def _password(self, service: str, environment: str) -> str | None:
        """The database's password as a container reads it when it starts, and never again."""
        volume = f"slipway-{environment}-secrets"
        if service == "postgres":
            return (self.volume(f"{volume}-postgres") / "slipway_password").read_text()
        if service in {"backend", "worker"}:
            url = (self.volume(f"{volume}-backend") / "database_url").read_text()
            return unquote(urlsplit(url).password or "")
        return None

    def _admitted(self, container: Mapping[str, Any]) -> bool:
        """Whether the database takes the password that a container has."""
        environment = container["Config"]["Labels"]["slipway.environment"]
        platform = self.project(f"slipway-{environment}-platform")
        return all(each["Password"] in {None, container["Password"]} for each in platform)

    def _describe(self, file: Path, targets: Sequence[str]) -> Answer:
        assert file.is_file()
        described = json.loads((HERE / "bake.json").read_text())
        chosen = targets or described["group"]["default"]["targets"]
        described["target"] = {name: described["target"][name] for name in chosen}
        return Answer(json.dumps(described))

    def _build(self, targets: Sequence[str], env: Mapping[str, str]) -> Answer:
        self.changes.append(f"build {' '.join(targets)}")
        lines = [f"#{n} [{name} 1/2] FROM slipway/base:trixie" for n, name in enumerate(targets)]
        if self.faults.build:
            return Answer("\n".join([*lines, self.faults.build, ""]), exit_code=1)
        for name in targets if not self.faults.unpushed else ():
            tag = env[f"TAG_{name.upper()}"]
            labels = {"slipway.schema": env["SCHEMA"]} if name == "backend" else {}
            digest = self.store.push_image(f"slipway/{name}", tag, labels)
            self.schemas[digest] = labels.get("slipway.schema", "")
        assert env["REGISTRY"] == self.registry
        return Answer("\n".join([*lines, ""]))

    def _environment(self, identity: str) -> str:
        return str(self.containers[identity]["Config"]["Labels"]["slipway.environment"])

    def _edge(self, identity: str, rest: Sequence[str]) -> Answer:
        environment = self._environment(identity)
        if self.faults.edge_silent:
            return Answer(errors="OCI runtime exec failed: no such process\n", exit_code=126)
        if identity == self.faults.edge_hung:
            return Answer(errors="edge: NGINX does not answer: timed out\n", exit_code=1)
        if list(rest) == ["status"]:
            return Answer(json.dumps(self._status(identity)))
        if rest[0] == "maintenance":
            return self._maintain(rest[1:])
        if rest[0] == "drain":
            return Answer(json.dumps(self._drain(identity, on=list(rest[1:]) != ["off"])))
        verb, generation = rest[0], int(rest[1])
        assert verb in {"switch", "candidate"}
        addresses = self._addresses(environment, generation)
        refused = self.faults.edge_refuses.get(generation)
        if refused is None and not any(each["ready"] for each in addresses):
            refused = f"no backend of generation {generation} is ready"
        if refused is not None and self.faults.edge_refusals != 0:
            self.faults.edge_refusals -= 1
            words = "503 The database cannot be reached."
            answers = {each["address"]: words for each in addresses}
            said = {"refused": refused, "answers": answers}
            answer = json.dumps(said) if refused else ""
            return Answer(answer, errors="" if refused else "panic\n", exit_code=1)
        if verb == "candidate":
            offered = {"generation": generation, "addresses": [], "pass": f"{generation}" * 32}
            return Answer(json.dumps(offered))
        self.changes.append(f"switch {generation}")
        self.generations[environment] = generation
        self.on_moment("during", self.step)
        return Answer(json.dumps(self._status(identity)))

    def _drain(self, identity: str, *, on: bool) -> dict[str, Any]:
        if not on:
            self.draining.discard(identity)
            return {"draining": False, "connections": 0}
        self.draining.add(identity)
        left = self.open_connections.pop(0) if self.open_connections else 0
        return {"draining": True, "connections": left}

    def _member(self, environment: str, rest: Sequence[str]) -> Answer:
        running = standin_tier.members(self.containers.values(), environment)
        had, another = self.primaries.get(environment), self.faults.fails_over
        primary = standin_tier.elect(had, running, another=another)
        self.primaries[environment] = primary
        match rest:
            case ("status",):
                return Answer(standin_tier.status(primary, running, self.faults.member))
            case ("switchover", target):
                if self.faults.switchover:
                    said = f"slipway-member: refused (412): {self.faults.switchover}\n"
                    return Answer(errors=said, exit_code=1)
                self.changes.append(f"switchover to {target}")
                self.primaries[environment] = target
                self.on_moment("during", self.step)
                return Answer(json.dumps({"from": primary, "to": target, "seconds": 1.5}))
            case ("settle" | "grant" as verb,):
                return Answer(json.dumps({"done": verb}))
        return self._refuse(("exec", "slipway-member", *rest))

    def _backup(self, environment: str, argv: Sequence[str]) -> Answer:
        verb, *words = argv
        if verb != "list":
            self.changes.append(f"backup {' '.join((verb, *words))}")
        points = self.points.setdefault(environment, [])
        said = self.faults.backup.get(verb) or standin_backup.answer(points, verb, words)
        if verb == "run":
            self.on_moment("during", self.step)
        return Answer(*said)

    def _dated(self, said: str) -> str:
        """Each line with a moment later than that of any line before."""
        lines = []
        for line in said.splitlines():
            self.dated += 1
            lines.append(f"2026-11-30T08:00:00.{self.dated:09}Z {line}")
        return "\n".join(lines) + "\n"

    def _parts(self, verb: str, name: str, typed: str | bytes = "") -> Answer:
        """As a worker compares what it was given, and puts it back."""
        if self.faults.parts.get(verb):
            return Answer(errors=f"slipway-backend: {self.faults.parts[verb]}\n", exit_code=2)
        if verb == "receive":
            given = typed.decode() if isinstance(typed, bytes) else typed
            if given != "a part":
                return Answer(errors="slipway-backend: cut short\n", exit_code=2)
            self.parts[name] = self.compared
            return Answer(json.dumps({"compared": self.compared}))
        self.changes.append(f"parts {verb}")
        known = self.parts.pop(name, None)
        if verb == "put" and known is None:
            return Answer(errors="slipway-backend: not here any more\n", exit_code=2)
        return Answer(json.dumps({"done": verb}))

    def _door(self, identity: str, rest: Sequence[str]) -> Answer:
        environment = self._environment(identity)
        if rest[0] == "switch":
            if self.faults.door_refuses:
                serving = self.serving_edges.get(environment)
                refused = {"refused": self.faults.door_refuses, "edge": serving}
                return Answer(json.dumps(refused), exit_code=1)
            self.changes.append(f"hand over to {rest[1]}")
            self.serving_edges[environment] = rest[1]
            self.on_moment("during", self.step)
        return Answer(json.dumps({"edge": self.serving_edges.get(environment)}))

    def _level(self, identity: str, words: tuple[str, ...]) -> Answer:
        if self.faults.knows_no_level:
            said = "argument command: invalid choice: 'log-level' (choose from 'serve')\n"
            return Answer(errors=said, exit_code=2)
        self.levels.append((identity, words))
        until = "2026-01-02T03:04:05+00:00" if words else None
        told = {"level": words[0] if words else "info", "until": until, "after": "info"}
        return Answer(json.dumps(told))

    def _maintain(self, rest: Sequence[str]) -> Answer:
        match rest:
            case ("on", told):
                message = told.removeprefix("--message=")
                self.maintenance = {"on": True, "message": message, "since": 0, "pass": "p" * 32}
                self.changes.append("maintenance on")
            case ("off",):
                self.maintenance = {"on": False}
                self.changes.append("maintenance off")
        if self.faults.edge_knows_no_maintenance:
            return Answer(errors="usage: slipway-edge\ninvalid choice\n", exit_code=2)
        return Answer(json.dumps(self.maintenance))

    def _status(self, identity: str) -> dict[str, Any]:
        environment = self._environment(identity)
        under = self.maintenance
        serves = self.generations.get(environment)
        return {
            "generation": serves,
            "addresses": [] if serves is None else self._addresses(environment, serves),
            "in_flight": self.in_flight.pop(0) if self.in_flight else {},
            "figures": self._figures(identity),
            "maintenance": (
                {key: under[key] for key in ("message", "since")} if under["on"] else None
            ),
        }

    def _figures(self, identity: str) -> dict[str, Any]:
        """What an edge counted; the one that gets new connections has counted more by now."""
        counted = self.counted.setdefault(identity, {})
        for generation, answers in self.faults.answers.items() if self._serves(identity) else ():
            nothing = {"requests": 0, "failed": 0, "buckets": dict.fromkeys(BUCKETS, 0)}
            figures = counted.setdefault(generation, nothing)
            figures["requests"] += answers.requests
            figures["failed"] += answers.failed
            for bound in BUCKETS[BUCKETS.index(answers.seconds) :]:
                figures["buckets"][bound] += answers.requests
        return {str(generation): figures for generation, figures in counted.items()}

    def _serves(self, identity: str) -> bool:
        service = self.containers[identity]["Config"]["Labels"][LABEL + "service"]
        return bool(service == self.serving_edges.get(self._environment(identity), "edge"))

    def _addresses(self, environment: str, generation: int) -> list[dict[str, Any]]:
        return [
            {
                "address": f"{network['IPAddress']}:8000",
                "ready": each["State"]["Health"]["Status"] == "healthy" and self._admitted(each),
                "in_flight": 0,
            }
            for each in self.containers.values()
            if each["Config"]["Labels"][LABEL + "project"] == f"slipway-{environment}-g{generation}"
            for name, network in each["NetworkSettings"]["Networks"].items()
            if name.endswith("-edge-app")
        ]

    def _read(self, rest: tuple[str, ...], argv: tuple[str, ...], typed: str) -> Answer:
        if rest[: len(BESIDE)] == BESIDE and rest[-1] == "host":
            table = "".join(f"0: 00000000:{port:04X} x 0A\n" for port in self.faults.host_ports)
            return Answer(json.dumps({"disk_free": self.faults.disk_free, "sockets": table}))
        if rest[: len(ALONE)] != ALONE:
            return self._refuse(argv)
        _, volume, image, verb = rest[len(ALONE) :]
        assert image.startswith(self.registry)
        assert verb in {"read", "note", "get-files"}
        if verb == self.faults.die_before:
            return Answer(errors="no space left on device\n", exit_code=1)
        if verb in self.faults.lost:
            self.faults.lost.remove(verb)
            return Answer()
        asked = json.loads(typed or "{}")
        return Answer(json.dumps(VERBS[verb](self.volume(volume.split(":")[0]), asked)))

    def _hold(self, name: str, rest: tuple[str, ...], argv: tuple[str, ...]) -> Answer:
        if rest[: len(ALONE)] != ALONE or rest[-2] != "hold":
            return self._refuse(argv)
        if name in self.toolboxes:
            text = f'docker: Error: Conflict. The container name "/{name}" is already in use.\n'
            return Answer(errors=text, exit_code=125)
        options = rest[len(ALONE) : -3]
        volumes = [value for key, value in zip(options[::2], options[1::2], strict=True)
                   if key == "--volume"]  # fmt: skip
        mounts = {at: volume for volume, at in (each.split(":") for each in volumes)}
        for volume in mounts.values():
            if volume not in self.volumes:
                self._make("volumes", volume, {})
        self.number += 1
        self.toolboxes[name] = mounts | {"id": f"{name}-{self.number}"}
        return Answer(f"{name}-{self.number}\n")

    def _toolbox(self, identity: str, verb: str, request: dict[str, Any]) -> Answer:
        mounts = next((each for each in self.toolboxes.values() if each["id"] == identity), None)
        if mounts is None:
            return Answer(errors=f"Error: No such container: {identity}\n", exit_code=1)
        if self._dies(verb, request):
            self.dead = True
            return Answer()
        if verb not in {"read", "get-files", "get-secrets", "acquire", "renew", "release"}:
            self.changes.append(f"toolbox {verb}")
        if verb == "journal" and not request["entry"]["done"]:
            self.step = request["entry"]["step"]
            self.on_moment("before", self.step)
        try:
            if verb == "hand-out":
                answer: Any = self._hand_out(mounts, request["consumers"])
                self.on_moment("during", self.step)
            elif verb == "take-back":
                answer = vault.take_back(self.volume(mounts["/state"]), self._mounted(mounts))
            else:
                answer = VERBS[verb](self.volume(mounts["/state"]), request)
        except Denied as denied:
            return Answer(json.dumps({"denied": str(denied), **denied.details}), exit_code=DENIED)
        if verb == "journal" and request["entry"]["done"]:
            self.on_moment("after", self.step)
        return Answer(json.dumps(answer))

    def _dies(self, verb: str, request: Mapping[str, Any]) -> bool:
        if verb == "journal" and request["entry"]["done"]:
            self.steps_done += 1
            if self.steps_done == self.faults.steal_lease_after_step:
                self.change_lease(fence=99, expires=1e11)
        return verb == self.faults.die_before or self.steps_done == self.faults.die_after_step

    def _hand_out(self, mounts: Mapping[str, str], consumers: dict[str, Any]) -> list[str]:
        """As the toolbox does it, but files belong to whoever runs the tests."""
        ours = copy.deepcopy(consumers)
        for content in ours.values():
            content["user"] = os.getuid()
        return vault.hand_out(self.volume(mounts["/state"]), self._mounted(mounts), ours)

    def _mounted(self, mounts: Mapping[str, str]) -> Path:
        """The folder in which a toolbox sees the volumes of the consumers."""
        folder = self.folder / "mounts" / mounts["/state"]
        folder.mkdir(parents=True, exist_ok=True)
        for at, volume in mounts.items():
            link = folder / at.removeprefix("/secrets/")
            if at.startswith("/secrets/") and not link.is_symlink():
                link.symlink_to(self.volume(volume))
        return folder


class _Unix(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


def _handler(
    answer: Callable[[str, str, bytes], tuple[int, bytes] | None],
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            given = answer(self.command, self.path, body)
            if given is None:
                self.close_connection = True
                return
            status, content = given
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler
