"""Two common ways of changing containers, behind a plain NGINX, on the site's images and database.

`docker compose up -d` recreates: it stops the old containers before the new ones start. A rollout
is what docker-rollout's documentation describes: scale to twice as many, wait until the new ones
are healthy, stop and remove the old ones.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from site_copy import HTTPS, NAME, Site

PROJECT = f"plain-{NAME}"
REPLICAS = 2
HEALTHY_SECONDS = 240
# Debian's NGINX knows no `resolve` for upstreams. A variable makes it ask the engine's name server,
# here as often as it can be told to, and try the next address when one does not answer.
NGINX = """
daemon off;
pid /tmp/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    resolver 127.0.0.11 valid=1s;
    keepalive_requests 10000;
    server {
        listen 8443 ssl;
        ssl_certificate /run/secrets/tls.crt;
        ssl_certificate_key /run/secrets/tls.key;
        client_max_body_size 101m;
        location / {
            set $backend http://backend:8000;
            proxy_pass $backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_connect_timeout 1s;
            proxy_read_timeout 300s;
            proxy_next_upstream error timeout;
        }
    }
}
"""


class Door:
    """A Compose project with backends of one image behind NGINX, for as long as the block lasts."""

    def __init__(self, site: Site, image: str) -> None:
        self._site = site
        self._folder = Path(tempfile.mkdtemp(prefix="slipway-plain-"))
        # Read by the user that NGINX runs as.
        self._folder.chmod(0o755)
        (self._folder / "nginx.conf").write_text(NGINX)
        self.write(image, "1")

    @property
    def url(self) -> str:
        """Where NGINX answers."""
        return f"https://localhost:{HTTPS + 1}"

    def __enter__(self) -> Door:
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", str(HEALTHY_SECONDS))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.compose("down", "--timeout", "5")
        shutil.rmtree(self._folder)

    def write(self, image: str, generation: str) -> None:
        """Say what shall run, as a person would who edits the tag in the Compose file."""
        project = _project(self._site, image, generation, self._folder)
        (self._folder / "compose.yaml").write_text(json.dumps(project))

    def compose(self, *arguments: str) -> None:
        """Run one Compose command on the project."""
        file = str(self._folder / "compose.yaml")
        words = ("docker", "compose", "--project-name", PROJECT, "--file", file, *arguments)
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr

    def backends(self) -> list[Any]:
        """The containers of the backend that run."""
        labels = [f"com.docker.compose.project={PROJECT}", "com.docker.compose.service=backend"]
        found: list[Any] = self._site.engine.containers.list(filters={"label": labels})
        return found


def recreate(door: Door, image: str) -> None:
    """`docker compose up -d`."""
    door.write(image, "2")
    door.compose("up", "--detach", "--wait", "--wait-timeout", str(HEALTHY_SECONDS))


def rollout(door: Door, image: str) -> None:
    """Scale up, wait for health, stop and remove what was there."""
    door.write(image, "2")
    old = door.backends()
    door.compose("up", "--detach", "--no-recreate", "--scale", f"backend={2 * REPLICAS}", "backend")
    known = {each.id for each in old}
    deadline = time.monotonic() + HEALTHY_SECONDS
    while True:
        new = [each for each in door.backends() if each.id not in known]
        if len(new) == REPLICAS and all(each.health == "healthy" for each in new):
            break
        assert time.monotonic() < deadline, "the new containers did not become healthy"
        time.sleep(1)
    names = [each.name for each in old]
    subprocess.run(("docker", "stop", *names), capture_output=True, timeout=600, check=True)
    subprocess.run(("docker", "rm", *names), capture_output=True, timeout=600, check=True)


PEERS: dict[str, Callable[[Door, str], None]] = {
    "docker compose up -d": recreate,
    "scale up, remove old": rollout,
}


def _project(site: Site, image: str, generation: str, folder: Path) -> dict[str, Any]:
    prefix = f"slipway-{NAME}-"
    model = site.services["backend"]["environment"]
    hardening = {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "init": True,
        "restart": "unless-stopped",
    }
    backend = {
        **hardening,
        "image": image,
        "user": "10001:10001",
        "command": ["serve"],
        "environment": {
            "ENVIRONMENT": NAME,
            "GENERATION": generation,
            "LOG_LEVEL": "info",
            "MONITORING": "minimal",
            "DRAIN_SECONDS": "5",
            "TRUSTED_PROXIES": "*",
            **model,
        },
        "networks": ["plain", "app-data", "models"],
        "scale": REPLICAS,
        "tmpfs": ["/tmp:size=512m,mode=1777"],
        "volumes": [
            "files:/var/lib/slipway/files",
            {"type": "volume", "source": "secrets-backend", "target": "/run/secrets"},
        ],
        "mem_limit": "768m",
        "cpus": 2,
        "stop_grace_period": "135s",
        "healthcheck": {
            "test": ["CMD", "slipway-backend", "health", "serve"],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": "60s",
            "start_interval": "2s",
        },
    }
    nginx = {
        **hardening,
        "image": site.image("edge"),
        "user": "10002:10002",
        "entrypoint": ["nginx", "-c", "/etc/plain/nginx.conf"],
        "networks": ["plain"],
        "ports": [f"127.0.0.1:{HTTPS + 1}:8443"],
        "tmpfs": ["/tmp:size=64m,mode=1777"],
        "volumes": [
            f"{folder}/nginx.conf:/etc/plain/nginx.conf:ro",
            {"type": "volume", "source": "secrets-edge", "target": "/run/secrets"},
        ],
        "depends_on": ["backend"],
    }
    outside = {name: {"name": prefix + name, "external": True} for name in ("app-data", "models")}
    volumes = ("files", "secrets-backend", "secrets-edge")
    return {
        "services": {"backend": backend, "nginx": nginx},
        "networks": {"plain": {}, **outside},
        "volumes": {name: {"name": prefix + name, "external": True} for name in volumes},
    }
