"""An OpenID Connect provider over real HTTP with real keys, which can be told to misbehave."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT = "slipway-tests"
CLIENT_SECRET = "known to both sides"  # noqa: S105


class Key:
    """A signing key of the provider and the name it is shown by."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(4)
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def shown(self) -> dict[str, Any]:
        """The public half as the provider publishes it."""
        public: dict[str, Any] = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return public | {"kid": self.name, "use": "sig", "alg": "RS256"}


@dataclass
class Provider:
    """The provider's keys, who logs in, and how its next tokens differ from what is right."""

    key: Key = field(default_factory=Key)
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "u-1"})
    claims: dict[str, Any] = field(default_factory=dict)
    sign_with: Any = None
    algorithm: str = "RS256"
    broken: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    issuer: str = ""

    def authorize(self, address: str) -> dict[str, str]:
        """Log the person in at the address that a browser was sent to; what it brings back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def token(self, form: dict[str, str]) -> tuple[int, bytes]:
        """Exchange a code, once, for whoever knows its verifier and the client's secret."""
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or challenge != asked["code_challenge"]
            or form.get("client_secret") != CLIENT_SECRET
            or form.get("redirect_uri") != asked["redirect_uri"]
        ):
            return 400, b'{"error": "invalid_grant"}'
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.person,
            **self.claims,
        }
        signer = self.sign_with or self.key.private
        headers = {"kid": self.key.name}
        token = jwt.encode(
            {name: value for name, value in claims.items() if value is not None},
            None if self.algorithm == "none" else signer,
            algorithm=self.algorithm,
            headers=headers,
        )
        return 200, json.dumps({"id_token": token, "token_type": "Bearer"}).encode()

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, bytes]:
        """Answer one request."""
        self.asked.append(path)
        if path in self.broken:
            return self.broken[path]
        match path:
            case "/.well-known/openid-configuration":
                described = {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
                    "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/keys",
                }
                return 200, json.dumps(described).encode()
            case "/keys":
                return 200, json.dumps({"keys": [self.key.shown()]}).encode()
            case "/token":
                return self.token(form)
        return 404, b"{}"


@pytest.fixture
def oidc_provider() -> Iterator[Provider]:
    """A provider that listens on the loopback."""
    made = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self.reply({name: values[0] for name, values in parse_qs(body).items()})

        def reply(self, form: dict[str, str]) -> None:
            status, content = made.answer(self.path, form)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.issuer = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield made
        server.shutdown()
        thread.join()
