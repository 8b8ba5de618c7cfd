"""A stand-in for an OCI registry: it keeps what is pushed, and what a test does to that.

Like the real one it believes its own store: bytes that a test alters are served as they are.
"""

from __future__ import annotations

import copy
import json
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest_of(content: bytes) -> str:
    """The digest of some bytes."""
    return f"sha256:{sha256(content).hexdigest()}"


class Registry:
    """One registry on the loopback; blobs and manifests by digest, tags by `repository:tag`."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.tags: dict[str, str] = {}
        self.pushed: list[str] = []
        self.gone = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.name = f"localhost:{self._server.server_address[1]}"

    def __enter__(self) -> Registry:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def held(self) -> dict[str, Any]:
        """A copy of everything."""
        return copy.deepcopy({name: getattr(self, name) for name in ("blobs", "manifests", "tags")})

    def hold(self, held: dict[str, Any]) -> None:
        """Hold what was held then."""
        for name, value in copy.deepcopy(held).items():
            setattr(self, name, value)
        self.pushed.clear()
        self.gone = False

    def push_image(self, repository: str, tag: str, labels: dict[str, str] | None = None) -> str:
        """An image of one layer, which differs from every other tag's."""
        layer = f"the layer of {repository}:{tag}".encode()
        config = json.dumps(
            {
                "architecture": "amd64",
                "made from": tag,
                "config": {"Labels": labels},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{tag}"]},
            }
        ).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": DOCKER_MANIFEST,
                "config": self._keep("application/vnd.docker.container.image.v1+json", config),
                "layers": [self._keep("application/vnd.docker.image.rootfs.diff.tar.gzip", layer)],
            }
        ).encode()
        return self._tag(repository, tag, DOCKER_MANIFEST, manifest)

    def alter(self, digest: str) -> None:
        """Change one byte of a blob or a manifest, behind everybody's back."""
        if digest in self.blobs:
            self.blobs[digest] = _flipped(self.blobs[digest])
        else:
            media_type, content = self.manifests[digest]
            self.manifests[digest] = media_type, _flipped(content)

    def manifest(self, reference: str) -> dict[str, Any]:
        """A manifest by its digest or by `repository:tag`."""
        found = json.loads(self.manifests[self.tags.get(reference, reference)][1])
        assert isinstance(found, dict)
        return found

    def answer(
        self, method: str, target: str, body: bytes, media_type: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """One request of the distribution API."""
        url = urlsplit(target)
        if url.path == "/v2/_catalog":
            named = sorted({tag.partition(":")[0] for tag in self.tags})
            return 200, json.dumps({"repositories": named}).encode(), {}
        repository, _, rest = url.path.removeprefix("/v2/").partition("/")
        image, _, rest = rest.partition("/")
        repository = f"{repository}/{image}"
        match (method, *rest.split("/")):
            case ("GET" | "HEAD", "manifests", reference):
                digest = self.tags.get(f"{repository}:{reference}", reference)
                if digest not in self.manifests:
                    return 404, b"", {}
                media_type, content = self.manifests[digest]
                headers = {"docker-content-digest": digest, "content-type": media_type}
                return 200, content if method == "GET" else b"", headers
            case ("DELETE", "manifests", digest):
                self.manifests.pop(digest, None)
                self.tags = {tag: each for tag, each in self.tags.items() if each != digest}
                return 202, b"", {}
            case ("PUT", "manifests", reference):
                named = json.loads(body)
                for each in (named.get("config"), *named.get("layers", ())):
                    if each and each["digest"] not in self.blobs:
                        return 400, b"blob unknown to registry", {}
                self._tag(repository, reference, media_type, body)
                return 201, b"", {}
            case ("GET" | "HEAD", "blobs", digest):
                if digest not in self.blobs:
                    return 404, b"", {}
                return 200, self.blobs[digest] if method == "GET" else b"", {}
            case ("POST", "blobs", "uploads", ""):
                return 202, b"", {"location": f"/v2/{repository}/blobs/uploads/1?state=x"}
            case ("PUT", "blobs", "uploads", "1"):
                (digest,) = parse_qs(url.query)["digest"]
                if digest_of(body) != digest:
                    return 400, b"provided digest did not match uploaded content", {}
                self.blobs[digest] = body
                self.pushed.append(digest)
                return 201, b"", {}
            case ("GET", "tags", "list"):
                ours = [each.split(":")[1] for each in self.tags if each.startswith(repository)]
                return (200 if ours else 404), json.dumps({"tags": ours}).encode(), {}
        raise AssertionError(f"the stand-in does not know: {method} {target}")

    def _keep(self, media_type: str, content: bytes) -> dict[str, Any]:
        self.blobs[digest_of(content)] = content
        return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}

    def _tag(self, repository: str, tag: str, media_type: str, content: bytes) -> str:
        digest = digest_of(content)
        self.manifests[digest] = (media_type, content)
        if tag != digest:
            self.tags[f"{repository}:{tag}"] = digest
        return digest


def _flipped(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _handler(registry: Registry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # A body in a packet of its own would wait 40 ms for the acknowledgement of its head.
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            if registry.gone:
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            media_type = self.headers.get("content-type", "")
            status, content, headers = registry.answer(self.command, self.path, body, media_type)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler
