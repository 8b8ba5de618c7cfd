"""Release manifests, the evidence of those who tried them, and approvals: signed JSON documents."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from slipway.config.layout import Layout
from slipway.errors import Refused
from slipway.facts.registry import DIGEST

#: The repository of all these documents.
REPOSITORY = "slipway/releases"
#: What may stand as a tag (OCI distribution specification), so that a version can be one.
VERSION = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}"
_REFERENCE = rf"^[a-z0-9][a-z0-9._/-]*@{DIGEST}$"

Digest = Annotated[str, Field(pattern=f"^{DIGEST}$")]


def _moment(value: str) -> str:
    if datetime.fromisoformat(value).tzinfo is None:
        raise ValueError("a time needs its zone")
    return value


def _below(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError("a path below infra/compose")
    return value


Moment = Annotated[str, AfterValidator(_moment)]
ConfigPath = Annotated[str, AfterValidator(_below)]


class _Signed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    @classmethod
    def kind(cls) -> str:
        """The document's name in media types."""
        return cls.__name__.lower()

    @classmethod
    def media_type(cls) -> str:
        """The media type of the document's bytes."""
        return f"application/vnd.slipway.{cls.kind()}.document.v1+json"

    @classmethod
    def artifact_type(cls) -> str:
        """The media type of the artifact that holds it."""
        return f"application/vnd.slipway.{cls.kind()}.v1+json"

    def canonical(self) -> bytes:
        """The one way to write it: keys sorted, no space between, UTF-8."""
        content = self.model_dump(mode="json", by_alias=True)
        return json.dumps(
            content, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()


class Manifest(_Signed):
    """One release: images by digest without a registry's host, and its Compose files by hash."""

    schema_: Literal[1] = Field(1, alias="schema")
    version: Annotated[str, Field(pattern=f"^{VERSION}$")]
    commit: str
    changed: bool = Field(description="whether the tree differed from the commit")
    created: Moment
    source: str = Field(description="the environment that it was released to first")
    images: Mapping[str, Annotated[str, Field(pattern=_REFERENCE)]]
    config: Mapping[ConfigPath, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]
    database: Mapping[str, str]

    @classmethod
    def kind(cls) -> str:
        """As the others, but for the word by which people call it."""
        return "release"

    def references(self, registry: str) -> dict[str, str]:
        """The images as the engine pulls them from `registry`."""
        return {name: f"{registry}/{reference}" for name, reference in self.images.items()}


class Gate(_Signed):
    """One gate of acceptance: whether it was passed, and with which figures."""

    name: str
    ok: bool
    figures: Mapping[str, float | int | str]


class Evidence(_Signed):
    """What an environment says of a release that it tried; good until it expires."""

    schema_: Literal[1] = Field(1, alias="schema")
    environment: str
    version: str
    manifest: Digest
    generation: int
    time: Moment
    expires: Moment
    by: str
    gates: tuple[Gate, ...] = Field(strict=False)

    @property
    def accepted(self) -> bool:
        """Whether every gate was passed; none at all is no acceptance."""
        return bool(self.gates) and all(gate.ok for gate in self.gates)


class Approval(_Signed):
    """That a person wants a release in an environment."""

    schema_: Literal[1] = Field(1, alias="schema")
    environment: str
    version: str
    manifest: Digest
    time: Moment
    expires: Moment
    by: str


Kind = TypeVar("Kind", Manifest, Evidence, Approval)


def parse(kind: type[Kind], content: bytes, shown: str) -> Kind:
    """The document in `content`. Raises Refused with its first fault; `shown` says whose it is."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = "/".join(str(part) for part in first["loc"])
        if kind is Manifest and first["loc"][:1] == ("images",):
            raise Refused(
                f"{shown} names an image without its digest: {first['input']} ({place})",
                code="not-by-digest",
            ) from error
        raise Refused(f"{shown}: {place}: {first['msg']}", code="not-understood") from error


def config_files(layout: Layout) -> dict[str, bytes]:
    """The Compose files that every environment shares, by their path below infra/compose."""
    return {
        path.relative_to(layout.compose).as_posix(): path.read_bytes()
        for path in sorted(layout.compose.rglob("*"))
        if path.is_file() and layout.environments not in path.parents
    }


def config_hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    """Path -> SHA-256 of its content."""
    return {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}


def pack(files: Mapping[str, bytes]) -> bytes:
    """The files as a tar that depends on nothing but their paths and contents."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def unpack(packed: bytes, hashes: Mapping[str, str], shown: str) -> dict[str, bytes]:
    """The files of `pack`, which must be exactly those of `hashes`.

    Raises Refused, naming the file, when one is missing, too many, or not as the manifest says.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
            members = [each for each in archive.getmembers() if each.isfile()]
            files = {each.name: archive.extractfile(each).read() for each in members}  # type: ignore[union-attr]
    except (tarfile.TarError, OSError) as error:
        raise Refused(f"{shown}: its Compose files are no tar", code="bytes-changed") from error
    found = config_hashes(files)
    for path in sorted(found.keys() | hashes.keys()):
        if found.get(path) != hashes.get(path):
            raise Refused(
                f"{shown}: its Compose file {path} is not the one that the manifest names",
                code="bytes-changed",
            )
    return files


def revision(layout: Layout) -> str:
    """The newest revision of the database that the backend of this checkout has; maybe none."""
    folder = layout.root / "services/backend/src/slipway_backend/migrations/versions"
    texts = [path.read_text() for path in sorted(folder.glob("*.py"))]
    made = _values(texts, "revision")
    return next(iter(sorted(made - _values(texts, "down_revision"))), "")


def _values(texts: list[str], name: str) -> set[str]:
    pattern = re.compile(rf"^{name}(?::[^=]+)? = [\"']([^\"']+)[\"']", re.MULTILINE)
    return {found[1] for text in texts for found in pattern.finditer(text)}


def write_config(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files of a manifest below `folder`."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
