"""An environment with a replica and with backups, and marks in its database."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from docker.models.containers import Container
from site_copy import HTTP, HTTPS, NAME, Answer, Site
from tier_rig import eventually

KEPT = f"{NAME}kept"
COPY = f"{NAME}copy"
#: Far from today, so that nothing is due in the middle of a test but what is due at the beginning.
DAY = min((datetime.now(UTC) + timedelta(days=14)).day, 28)
SCHEDULED = {
    "policy": "scheduled",
    "full": f"0 2 {DAY} * *",
    "differential": f"0 3 {DAY} * *",
    "incremental": f"0 4 {DAY} * *",
    "drill": f"0 5 {DAY} * *",
    "keep": {"full": 2, "differential": 6},
    "second": None,
}
#: Twenty empty tables, each with the index of its key, a moment apart.
BUILD = """DO $$ BEGIN
    FOR number IN 1..20 LOOP
        EXECUTE format('CREATE TABLE built.t{batch}_%s (id int PRIMARY KEY)', number);
        COMMIT;
        PERFORM pg_sleep(0.005);
    END LOOP;
END $$"""


class Kept:
    """One backend and one worker over a primary with a replica; all of it is backed up."""

    def __init__(self, site: Site, *, replicas: int = 1) -> None:
        self.site = site
        tier = {"replicas": replicas, "synchronous": True}
        self._write(KEPT, 6, backup=SCHEDULED, database=tier)

    def _write(self, name: str, place: int, **settings: Any) -> None:
        folder = self.site.root / "infra/compose/environments"
        overlay = yaml.safe_load((folder / f"{NAME}.yaml").read_text())
        overlay["x-slipway"] |= {
            "ports": {"address": "127.0.0.1", "https": HTTPS + place, "http": HTTP + place},
            "replicas": {"backend": 1, "worker": 1},
            **settings,
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(overlay, sort_keys=False))

    def begin(self) -> None:
        """Release it, from nothing, and wait for the point and the drill that are due at once.

        Whoever comes in between is told that another one is at work.
        """
        self.down()
        answer = self.invoke("release")
        assert answer.exit_code == 0, answer.text
        eventually(self.points, "first point")
        eventually(lambda: self.points()[0]["verified"], "first drill")

    def copy(self) -> str:
        """Another environment, without replicas or backups."""
        plain = {"replicas": 0, "synchronous": True}
        self._write(COPY, 7, backup={"policy": "none"}, database=plain)
        return COPY

    def invoke(self, *words: str, env: str = KEPT) -> Answer:
        """Type `invoke WORDS --env KEPT`."""
        return self.site.invoke(*words, "--env", env)

    def restore(self, to: str, *words: str) -> Answer:
        """Take the environment back, and expect that to work."""
        answer = self.invoke("restore", "--to", to, "--yes-overwrite", KEPT, *words)
        assert answer.exit_code == 0, answer.text
        return answer

    def down(self, name: str = KEPT) -> Answer:
        """Take an environment down with all of its data and its backups."""
        return self.invoke("down", "--volumes", "--yes-delete", name, env=name)

    def remove(self) -> Answer:
        """Take both environments down with their data, and forget their files."""
        folder = self.site.root / "infra/compose/environments"
        for name in (COPY, KEPT):
            if (folder / f"{name}.yaml").exists():
                answer = self.down(name)
                (folder / f"{name}.yaml").unlink()
        return answer

    def point(self) -> str:
        """A recovery point of now."""
        return str(self._read("backup", "--json")["id"])

    def points(self) -> list[dict[str, Any]]:
        """Every recovery point, the oldest first."""
        found = self._read("backup.list", "--json")["points"]
        assert isinstance(found, list)
        return found

    def _read(self, *words: str) -> dict[str, Any]:
        answer = self.invoke(*words)
        assert answer.exit_code == 0, answer.text
        found = json.loads(answer.text[answer.text.index("{") : answer.text.rindex("}") + 1])
        assert isinstance(found, dict)
        return found

    def container(self, service: str, env: str = KEPT) -> Container:
        """The running container of a platform service."""
        return self.site.engine.containers.get(f"slipway-{env}-platform-{service}-1")

    def query(self, statement: str, service: str = "postgres", env: str = KEPT) -> list[str]:
        """What a server answers, row by row."""
        words = ["psql", "--no-psqlrc", "-U", "postgres", "-d", "slipway", "-Atqc", statement]
        done = self.container(service, env).exec_run(words)
        assert done.exit_code == 0, done.output
        return done.output.decode().split()

    def mark(self, number: int) -> None:
        """Write a number that nobody else writes."""
        self.query("CREATE TABLE IF NOT EXISTS marks (number int)")
        self.query("ALTER TABLE marks OWNER TO slipway")
        self.query(f"INSERT INTO marks VALUES ({number})")

    @contextmanager
    def building(self) -> Iterator[None]:
        """Have small indexes built all the time, as a migration builds them."""
        self.query("CREATE SCHEMA built")
        ended = threading.Event()

        def build() -> None:
            batch = 0
            while not ended.is_set():
                batch += 1
                self.query(BUILD.format(batch=batch))

        with ThreadPoolExecutor(1) as pool:
            building = pool.submit(build)
            try:
                yield
            finally:
                ended.set()
        building.result()

    def marks(self, service: str = "postgres", env: str = KEPT) -> list[str]:
        """The numbers that are there."""
        return self.query("SELECT number FROM marks ORDER BY number", service, env)
