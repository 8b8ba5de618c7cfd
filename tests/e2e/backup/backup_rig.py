"""A plain database and the backup service, beside any environment, with data like the product's."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import docker
import measuring
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from docker.models.containers import Container
from docker.types import Mount

from slipway.commands import bake
from slipway.config import certificates

ROOT = Path(__file__).parents[3]
NAME = f"slipway-{os.environ.get('SLIPWAY_E2E_NAME', 'e2e')}backup"
SCHEMA = (Path(__file__).parent / "schema.sql").read_text()
KEY = "a key of forty characters for the tests!"
TOKEN = "a token for the tests"
#: Over all of it a search finds what exact search finds.
CHUNKS = 1500
DOCUMENTS = 12
PATIENCE_SECONDS = 90
ROOM_MEGABYTES = 400
HOME = "/var/lib/slipway-backup"
REPOSITORY = f"{HOME}/repository"
#: As common.yaml confines every service.
CONFINED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "init": True,
    "tmpfs": {"/tmp": "size=64m,mode=1777"},
}
SERVICE = ("DAC_READ_SEARCH", "SETUID", "SETGID")
#: As privileges.py goes on as the service's own user.
BECOME = (
    *("setpriv", "--reuid=10006", "--regid=10006", "--clear-groups"),
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--"),
)
RESTORER = (*SERVICE, "CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL")


@dataclass(frozen=True)
class Answer:
    """What a verb ended with: its exit code, its last line as JSON, and its other words."""

    code: int
    told: dict[str, Any]
    text: str
    seconds: float


class Rig:
    """Two containers on a network of their own, and their volumes; all of it is removed."""

    #: A schedule of nothing, so that tests decide.
    never: ClassVar = {"full": "", "differential": "", "incremental": "", "drill": ""}

    def __init__(self, folder: Path) -> None:
        self.engine = docker.from_env(timeout=180)
        self.folder = folder
        self.images = _build()
        self._containers: list[Container] = []
        self._volumes: list[str] = []
        self.remove()
        self.network = self.engine.networks.create(NAME, driver="bridge", labels={"rig": NAME})

    # parts

    def volume(self, name: str, **options: str) -> str:
        """A new volume."""
        full = f"{NAME}-{name}"
        driver = {"driver": "local", "driver_opts": options} if options else {}
        self.engine.volumes.create(full, labels={"rig": NAME}, **driver)
        return full

    def start(self) -> None:
        """Start the database with its data, and the service."""
        for name in ("postgres", "files", "state"):
            self.volume(name)
        # In memory and small, so that it can be filled; it is there for as long as somebody has it.
        room = f"size={ROOM_MEGABYTES}m,uid=10006,gid=10006,mode=0750"
        self.volume("repository", type="tmpfs", device="tmpfs", o=room)
        self.run(
            self.images["backup"],
            "keeps-the-repository",
            mounts={"repository": REPOSITORY},
            network=False,
            entrypoint=["sleep", "infinity"],
        )
        self._secrets()
        self._fill_files()
        self.start_database()
        self._fill_database()
        self.service = self.start_service()

    def start_member(self, name: str, *words: str) -> Container:
        """Start a member of a data tier, as an environment with replicas has them."""
        return self.run(
            self.images["postgres"],
            f"{name}{'-'.join(('', *words))}",
            mounts={name: "/var/lib/postgresql", "secrets-postgres": "/run/secrets:ro"},
            tmpfs={"/run/postgresql": "size=1m,uid=10003,gid=10003,mode=0775"},
            user="10003:10003",
            environment={"MEMBER": name, "BACKUPS": "on"},
            command=[*words],
            shm_size="128m",
            mem_limit="512m",
            aliases=[name],
        )

    def start_database(self) -> None:
        """Start the database on its volume."""
        self.database = self.run(
            self.images["postgres"],
            "postgres",
            mounts={"postgres": "/var/lib/postgresql", "secrets-postgres": "/run/secrets:ro"},
            tmpfs={"/run/postgresql": "size=1m,uid=10003,gid=10003,mode=0775"},
            user="10003:10003",
            command=["-c", "shared_buffers=64MB", "-c", "max_wal_size=256MB"],
            shm_size="128m",
            aliases=["postgres"],
        )
        self.eventually(lambda: self.healthy(self.database), "a database that answers")

    def healthy(self, container: Container) -> bool:
        """Whether a database container takes queries over the network."""
        return int(container.exec_run(["slipway-postgres-health"]).exit_code) == 0 and (
            "database system is ready" in container.logs().decode()
        )

    def start_service(
        self,
        repository: str = "repository",
        extra: Mapping[str, str] | None = None,
        **environment: str,
    ) -> Container:
        """Start the service as an environment would."""
        service = self.run(
            self.images["backup"],
            "service" if repository == "repository" else f"service-of-{repository}",
            mounts={**self.mounts(repository), **(extra or {})},
            user="0:0",
            cap_add=list(SERVICE),
            environment=self.environment(**environment),
            mem_limit="1g",
        )
        self.eventually(lambda: self.asked(service, "/health/ready")[0] == 200, "a ready service")
        return service

    def mounts(
        self, repository: str = "repository", secrets: str = "secrets-backup"
    ) -> dict[str, str]:
        """What the service's container has."""
        return {
            repository: REPOSITORY,
            "files": "/source/files:ro",
            "state": "/source/state:ro",
            secrets: "/run/secrets:ro",
        }

    def environment(self, **changes: str) -> dict[str, str]:
        """What the service's container is told."""
        told = {"BACKUP_POLICY": json.dumps(self.never), "SWITCH_SECONDS": "3"}
        return {**told, **measuring.environment(), **changes}

    def run(
        self,
        image: str,
        name: str,
        *,
        mounts: Mapping[str, str],
        network: bool = True,
        tmpfs: Mapping[str, str] | None = None,
        aliases: Sequence[str] = (),
        **options: Any,
    ) -> Container:
        """Start a container that is confined as all of the product's are."""
        confined = {**CONFINED, "tmpfs": {**CONFINED["tmpfs"], **(tmpfs or {})}}
        container = self.engine.containers.create(
            image,
            name=f"{NAME}-{name}",
            labels={"rig": NAME},
            mounts=[
                *(self._mount(volume, place) for volume, place in mounts.items()),
                *(measuring.mounts() if image == self.images["backup"] else ()),
            ],
            network_mode="none",
            **{**confined, **options},
        )
        if network:
            self.engine.networks.get("none").disconnect(container)
            self.network.connect(container, aliases=list(aliases))
        container.start()
        return container

    @staticmethod
    def _mount(volume: str, place: str) -> Mount:
        target, _, mode = place.partition(":")
        source = f"{NAME}-{volume}"
        return Mount(target, source, type="volume", read_only=mode == "ro")

    # verbs

    def verb(self, *words: str, container: Container | None = None, **env: str) -> Answer:
        """`docker exec SERVICE slipway-backup WORDS`."""
        where = container or self.service
        began = time.monotonic()
        told = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
        done = subprocess.run(
            ["docker", "exec", *told, where.id or "", "slipway-backup", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        return _answer(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def once(
        self,
        *words: str,
        repository: str = "repository",
        mounts: Mapping[str, str] | None = None,
        secrets: str = "secrets-backup",
        caps: Sequence[str] = SERVICE,
        network: bool = False,
        **env: str,
    ) -> Answer:
        """Run a verb in a container of its own, which has no network but where asked for."""
        began = time.monotonic()
        container = self.run(
            self.images["backup"],
            f"once-{time.monotonic_ns()}",
            mounts={**self.mounts(repository, secrets), **(mounts or {})},
            network=network,
            user="0:0",
            cap_add=list(caps),
            environment=self.environment(**env),
            command=list(words),
        )
        code = int(container.wait()["StatusCode"])
        out = container.logs(stdout=True, stderr=False).decode()
        errors = container.logs(stdout=False, stderr=True).decode()
        container.remove(force=True)
        return _answer(code, out, errors, time.monotonic() - began)

    def restore(self, *words: str, volume: str = "restored", **options: Any) -> Answer:
        """Restore into a volume in a container of its own, as an environment is restored."""
        return self.once(
            *("restore", *words, "--data", "/restore/postgres/17"),
            mounts={volume: "/restore/postgres", **options.pop("mounts", {})},
            caps=RESTORER,
            **options,
        )

    @contextlib.contextmanager
    def restored(self, volume: str = "restored") -> Iterator[Container]:
        """A database on a restored volume, without anybody on its network."""
        container = self.run(
            self.images["postgres"],
            f"on-{volume}",
            mounts={volume: "/var/lib/postgresql", "secrets-postgres": "/run/secrets:ro"},
            tmpfs={"/run/postgresql": "size=1m,uid=10003,gid=10003,mode=0775"},
            network=False,
            user="10003:10003",
            command=["-c", "shared_buffers=64MB"],
        )
        try:
            self.eventually(lambda: self.healthy(container), "a restored database that answers")
            yield container
        finally:
            container.remove(force=True)

    def postgres_volume(self, name: str) -> str:
        """A volume such as the database's own image makes: it belongs to the database's user."""
        full = self.volume(name)
        helper = self.engine.containers.run(
            self.images["postgres"],
            entrypoint=["true"],
            mounts=[Mount("/var/lib/postgresql", full, type="volume")],
            network_mode="none",
            remove=True,
        )
        assert helper == b""
        return full

    def copy_of_repository(self, name: str) -> str:
        """A copy of the repository, for a test to damage."""
        self.volume(name)
        # Files of the service's own come and go all the time.
        self.service.pause()
        try:
            self.shell("cp -a /from/. /to/", {"repository": "/from:ro", name: "/to"})
        finally:
            self.service.unpause()
        return name

    def shell(self, script: str, mounts: Mapping[str, str]) -> str:
        """What a script says that runs as root with volumes, and no network."""
        said = self.engine.containers.run(
            self.images["backup"],
            ["-euc", script],
            entrypoint="sh",
            user="0:0",
            mounts=[self._mount(volume, place) for volume, place in mounts.items()],
            network_mode="none",
            labels={"rig": NAME},
            remove=True,
        )
        return bytes(said).decode()

    def python(self, script: str, repository: str = "repository", **env: str) -> str:
        """What a script says that has the service's code, its key and a repository."""
        as_the_service = [*BECOME, "python3", "-c", script]
        said = self.engine.containers.run(
            self.images["backup"],
            as_the_service[1:],
            entrypoint=as_the_service[:1],
            user="0:0",
            cap_drop=["ALL"],
            cap_add=list(SERVICE),
            mounts=[
                self._mount(volume, place) for volume, place in self.mounts(repository).items()
            ],
            network_mode="none",
            environment=self.environment(**env),
            labels={"rig": NAME},
            remove=True,
        )
        return bytes(said).decode()

    def query(self, statement: str, container: Container | None = None) -> list[str]:
        """What the database answers, row by row."""
        words = ["psql", "--no-psqlrc", "-U", "postgres", "-d", "slipway", "-v", "ON_ERROR_STOP=1"]
        done = (container or self.database).exec_run([*words, "-Atc", statement])
        assert done.exit_code == 0, done.output
        return done.output.decode().split("\n")[:-1]

    @contextlib.contextmanager
    def writing(self, table: str) -> Iterator[None]:
        """Have a transaction that writes to a table, and does not end meanwhile."""
        session = "SELECT pid FROM pg_stat_activity WHERE application_name = 'writing'"
        psql = "psql --no-psqlrc -U postgres -d slipway".split()
        writes = ("BEGIN", f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE", "SELECT pg_sleep(600)")
        words = [*psql, *(f"--command={each}" for each in writes)]
        self.database.exec_run(words, environment={"PGAPPNAME": "writing"}, detach=True)
        held = f"SELECT 1 FROM pg_locks WHERE relation = '{table}'::regclass AND pid IN ({session})"
        try:
            self.eventually(lambda: self.query(held), "transaction that writes")
            yield
        finally:
            self.query(f"SELECT pg_terminate_backend(pid) FROM ({session}) AS found")

    def asked(self, service: Container, path: str, *options: str) -> tuple[int, str]:
        """What the service's interface answers, asked inside its container."""
        script = (
            "import sys, urllib.request, urllib.error\n"
            "data = sys.argv[2].encode() if len(sys.argv) > 2 else None\n"
            "headers = {'content-type': 'application/json'}\n"
            "if len(sys.argv) > 3: headers['authorization'] = sys.argv[3]\n"
            "url = 'http://localhost:8080' + sys.argv[1]\n"
            "request = urllib.request.Request(url, data, headers)\n"
            "try: answer = urllib.request.urlopen(request)\n"
            "except urllib.error.HTTPError as error: answer = error\n"
            "print(answer.status); print(answer.read().decode())\n"
        )
        done = service.exec_run(["python3", "-c", script, path, *options])
        status, _, text = done.output.decode().partition("\n")
        return (int(status), text) if status.isdigit() else (0, done.output.decode())

    def eventually(self, look: Callable[[], Any], what: str) -> Any:
        """What `look` finds, as soon as it finds anything."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := look()):
            assert time.monotonic() < deadline, f"{what} did not come; {self._logs()}"
            time.sleep(0.2)
        return found

    def _logs(self) -> str:
        found = self.engine.containers.list(all=True, filters={"label": f"rig={NAME}"})
        return "\n".join(f"{each.name}: {each.logs(tail=15).decode()}" for each in found)

    def end(self, service: Container) -> None:
        """Stop a service, which writes what was measured in it at its end, and remove it."""
        service.stop(timeout=30)
        service.remove(force=True)

    def remove(self) -> None:
        """Take everything of this rig down."""
        only = {"label": f"rig={NAME}"}
        for container in self.engine.containers.list(all=True, filters=only):
            if str(container.name).startswith(f"{NAME}-service"):
                self.end(container)
            else:
                container.remove(force=True)
        for network in self.engine.networks.list(filters=only):
            network.remove()
        for volume in self.engine.volumes.list(filters=only):
            volume.remove(force=True)

    # data

    def _secrets(self) -> None:
        """Certificates and passwords, each volume with what its container has in an environment."""
        made = _certificates()

        def given(*names: str) -> dict[str, str]:
            return {name: made[name] for name in ("data_ca.crt", *names)}

        roles = ("postgres", "slipway", "backup", "replication", "rewind", "reader", "monitor")
        passwords = {f"{role}_password": f"of {role}" for role in roles}
        postgres = {**passwords, **given("data.crt", "data.key")}
        backup = {
            "backup_password": passwords["backup_password"],
            "backup_key": KEY,
            "backup_token": TOKEN,
            **given("backup.crt", "backup.key"),
        }
        self.put("secrets-postgres", postgres, 10003)
        self.put("secrets-backup", backup, 10006)
        self.put("secrets-etcd", given("etcd.crt", "etcd.key"), 10005)
        self.put("secrets-wrong", {**backup, "backup_key": KEY[::-1]}, 10006)
        self.put("secrets-escrow", {**backup, "backup_key_escrow": KEY}, 10006)
        self.put("secrets-wrong-escrow", {**backup, "backup_key_escrow": KEY[::-1]}, 10006)

    def _fill_files(self) -> None:
        """Uploaded files as the backend keeps them: readable by nobody else."""
        self.contents = [os.urandom(20_000) for _ in range(DOCUMENTS)]
        self.names = [hashlib.sha256(content).hexdigest() for content in self.contents]
        paths = {
            f"{name[:2]}/{name}": content
            for name, content in zip(self.names, self.contents, strict=True)
        }
        self.put("files", paths, 10001, mode=0o600)
        line = {"result": "done", "version": "v7", "generation": 7, "manifest": "sha256:7"}
        self.put("state", {"ledger.jsonl": json.dumps(line) + "\n", "vault/x": "y"}, 0, mode=0o600)

    def put(
        self, name: str, content: Mapping[str, str | bytes], owner: int, mode: int = 0o400
    ) -> None:
        """Fill a volume."""
        if not any(each.name == f"{NAME}-{name}" for each in self.engine.volumes.list()):
            self.volume(name)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            folders = {str(Path(path).parent) for path in content} - {"."}
            for folder in sorted(folders):
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o700, owner, owner
                tar.addfile(entry)
            for path, text in content.items():
                data = text.encode() if isinstance(text, str) else text
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode, entry.uid, entry.gid = len(data), mode, owner, owner
                tar.addfile(entry, io.BytesIO(data))
        helper = self.engine.containers.create(
            self.images["backup"],
            ["-c", f"chown {owner}:{owner} /v && chmod 0750 /v"],
            entrypoint="sh",
            user="0:0",
            mounts=[self._mount(name, "/v")],
            network_mode="none",
            labels={"rig": NAME},
        )
        helper.put_archive("/v", buffer.getvalue())
        helper.start()
        helper.wait()
        helper.remove()

    def _fill_database(self) -> None:
        owned = f"SET ROLE slipway; {SCHEMA}"
        done = self.database.exec_run(
            ["psql", "-U", "postgres", "-d", "slipway", "-v", "ON_ERROR_STOP=1", "-qc", owned]
        )
        assert done.exit_code == 0, done.output
        for number, name in enumerate(self.names):
            self.query(
                "INSERT INTO documents (filename, sha256, served_sha256)"
                f" VALUES ('document {number}', '{name}', '{name}')"
            )
        self.query(
            "INSERT INTO chunks (document_id, text, embedding)"
            " SELECT (SELECT id FROM documents ORDER BY filename OFFSET number % 12 LIMIT 1),"
            " 'The passage number ' || number || ' tells about turbine ' || md5(number::text),"
            # Clusters, as texts make them: neighbours that an index can find.
            " (SELECT array_agg(sin(number % 30 * axis) + random() / 3 + number * 0)"
            "  FROM generate_series(1, 32) AS axis)::halfvec(32)"
            f" FROM generate_series(1, {CHUNKS}) AS number"
        )
        self.query(
            "CREATE INDEX chunks_embedding_1 ON chunks"
            " USING hnsw ((embedding::halfvec(32)) halfvec_cosine_ops) WHERE embedding_set_id = 1"
        )
        self.query("VACUUM ANALYZE")


def _answer(code: int, out: str, errors: str, seconds: float) -> Answer:
    lines = out.strip().splitlines()
    try:
        told = json.loads(lines[-1]) if lines else {}
    except ValueError:
        told = {}
    return Answer(code, told, f"{out}\n{errors}", seconds)


def _build() -> dict[str, str]:
    """The images of this checkout, built where they are not current, for this engine alone."""
    found = {}
    for name in ("postgres", "backup", "etcd"):
        tag = f"{NAME}-{name}:local"
        subprocess.run(
            [
                *("docker", "buildx", "bake", "--file", str(ROOT / "docker-bake.hcl"), "--load"),
                *("--provenance=false", "--sbom=false", "--set", f"{name}.tags={tag}", name),
            ],
            env={**os.environ, **bake.ENVIRONMENT},
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        found[name] = tag
    return found


def _certificates() -> dict[str, str]:
    """The certificates that a release makes for a data tier, and the service's under its name."""
    made = certificates.generate_tier(datetime.datetime.now(datetime.UTC))
    certificate, key = _signed(made, "slipway-backup", client=True)
    return {**made, "backup.crt": certificate, "backup.key": key}


def signed(*names: str) -> tuple[str, str, str]:
    """An authority that nobody knows, a certificate of its for a server, and that one's key."""
    made = certificates.generate_tier(datetime.datetime.now(datetime.UTC))
    return (made["data_ca.crt"], *_signed(made, *names))


def _signed(made: Mapping[str, str], *names: str, client: bool = False) -> tuple[str, str]:
    authority = x509.load_pem_x509_certificate(made["data_ca.crt"].encode())
    root = serialization.load_pem_private_key(made["data_ca.key"].encode(), password=None)
    assert isinstance(root, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    own = certificates._server(names, key, authority, root, now, client=client)
    return certificates._pem(own), certificates._key_pem(key)
