"""Logging in at the site's own identity provider: OpenID Connect, code flow with PKCE.

Nothing is kept between the two halves of a login: state, nonce and verifier travel in a signed
cookie. Source: OpenID Connect Core 1.0, section 3.1, and RFC 7636.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import jwt

from slipway_backend.errors import Problem
from slipway_backend.settings import Settings

DISCOVERY = "/.well-known/openid-configuration"
# Signed by the provider's private key; a shared secret or none at all would prove nothing.
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
DISCOVERY_SECONDS = 3600.0
# A provider that rotates its keys is asked again, but not once per forged token.
KEYS_SECONDS = 30.0
LEEWAY_SECONDS = 30


@dataclass(frozen=True)
class Login:
    """One login under way: what must come back, and what only its own browser knows."""

    state: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True)
class Person:
    """Whom the provider vouches for: its own id of them, a name, and their groups there."""

    issuer: str
    subject: str
    username: str
    groups: frozenset[str]


class LoginRefused(Exception):
    """The login is not good; the message says why, to whoever tries."""


class Provider:
    """The site's identity provider. Raises a 502 problem when it does not answer as it should."""

    def __init__(self, settings: Settings, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._client = client
        self._issuer = settings.require_oidc()
        self._metadata: dict[str, Any] = {}
        self._read_at = 0.0
        self._keys: jwt.PyJWKSet | None = None
        self._keys_at = -KEYS_SECONDS

    async def address(self, login: Login) -> str:
        """Where the browser goes to log in."""
        settings = self._settings
        metadata = await self._described()
        asked = {
            "response_type": "code",
            "client_id": settings.oidc_client_id,
            "redirect_uri": settings.oidc_redirect_url,
            "scope": settings.oidc_scopes,
            "state": login.state,
            "nonce": login.nonce,
            "code_challenge": login.challenge,
            "code_challenge_method": "S256",
        }
        endpoint = str(metadata["authorization_endpoint"])
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(asked)}"

    async def person(self, login: Login, *, state: str, code: str) -> Person:
        """Whom a code stands for; raise LoginRefused when it is not this login's, or not good."""
        if not hmac.compare_digest(state.encode(), login.state.encode()):
            raise LoginRefused("This answer belongs to another login: begin again.")
        token = await self._exchange(login, code)
        claims = await self._verified(token)
        if not hmac.compare_digest(str(claims.get("nonce")).encode(), login.nonce.encode()):
            raise LoginRefused("The identity provider answered another login: begin again.")
        return self._person(claims)

    async def _exchange(self, login: Login, code: str) -> str:
        settings = self._settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": settings.oidc_redirect_url,
            "client_id": settings.oidc_client_id,
            "code_verifier": login.verifier,
        }
        if settings.oidc_client_secret:
            form["client_secret"] = settings.oidc_client_secret
        metadata = await self._described()
        try:
            answer = await self._client.post(
                str(metadata["token_endpoint"]), data=form, timeout=settings.oidc_seconds
            )
        except httpx.HTTPError as error:
            raise _unreachable(error) from None
        if 400 <= answer.status_code < 500:
            raise LoginRefused("The identity provider does not accept this login: begin again.")
        try:
            token = answer.raise_for_status().json()["id_token"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise _unreachable(error) from None
        return str(token)

    async def _verified(self, token: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(header.get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                issuer=self._issuer,
                audience=self._settings.oidc_client_id,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise LoginRefused(f"The identity provider's token is not good ({error}).") from None
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if several and claims.get("azp") != self._settings.oidc_client_id:
            raise LoginRefused("The identity provider's token was made for another program.")
        return claims

    def _person(self, claims: Mapping[str, Any]) -> Person:
        settings = self._settings
        username = claims.get(settings.oidc_username_claim) or claims.get("email")
        if not isinstance(username, str) or not 0 < len(username) <= 200 or "\x00" in username:
            raise LoginRefused(
                f"The identity provider gives no name in the claim {settings.oidc_username_claim}: "
                "ask its administrator."
            )
        groups = claims.get(settings.oidc_groups_claim)
        named = groups if isinstance(groups, list) else []
        return Person(
            self._issuer,
            str(claims["sub"]),
            username,
            frozenset(name for name in named if isinstance(name, str)),
        )

    async def _key(self, key_id: str | None) -> jwt.PyJWK:
        found = self._known(key_id)
        if found is None and time.monotonic() - self._keys_at > KEYS_SECONDS:
            metadata = await self._described()
            document = await self._get(str(metadata["jwks_uri"]))
            try:
                self._keys = jwt.PyJWKSet.from_dict(document)
            except jwt.PyJWTError as error:
                raise _unreachable(error) from None
            self._keys_at = time.monotonic()
            found = self._known(key_id)
        if found is None:
            raise LoginRefused(
                "The identity provider's token is signed with a key it does not show."
            )
        return found

    def _known(self, key_id: str | None) -> jwt.PyJWK | None:
        keys = self._keys.keys if self._keys else []
        if key_id is None:
            return keys[0] if len(keys) == 1 else None
        return next((key for key in keys if key.key_id == key_id), None)

    async def _described(self) -> Mapping[str, Any]:
        if not self._metadata or time.monotonic() - self._read_at > DISCOVERY_SECONDS:
            found = await self._get(self._issuer.rstrip("/") + DISCOVERY)
            wanted = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            if found.get("issuer") != self._issuer or not all(found.get(each) for each in wanted):
                raise _unreachable(ValueError("its description is not that of OIDC_ISSUER"))
            self._metadata, self._read_at = found, time.monotonic()
        return self._metadata

    async def _get(self, address: str) -> dict[str, Any]:
        try:
            answer = await self._client.get(address, timeout=self._settings.oidc_seconds)
            found = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise _unreachable(error) from None
        return found if isinstance(found, dict) else {}


def _unreachable(error: Exception) -> Problem:
    return Problem(
        502,
        "Identity provider unreachable",
        f"The identity provider did not answer as it should ({type(error).__name__}): try again, "
        "or log in with a password.",
    )
