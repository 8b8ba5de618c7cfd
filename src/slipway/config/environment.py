"""One environment: the typed content of its `x-slipway` block."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from slipway.config.layout import Layout
from slipway.config.members import MOST_REPLICAS
from slipway.errors import Refused

BLOCK = "x-slipway"
# Names on the engine are parts joined by dashes, so a dash in one could make two environments one.
NAME = r"[a-z][a-z0-9]*"

SSH_HOST = r"^ssh://(?:(?P<user>[\w.-]+)@)?(?P<name>[\w.-]+)(?::(?P<port>\d{1,5}))?$"
KEY = r"^[a-z][a-z0-9-]*$"
TREE = "tree"

Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=0, le=100)]


def _ip_address(value: str) -> str:
    ipaddress.ip_address(value)
    return value


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Ports(_Section):
    """The address and ports that the edge publishes on the host."""

    address: Annotated[str, AfterValidator(_ip_address)] = Field(
        description="the host's address to publish on; 0.0.0.0 is every one, 127.0.0.1 this host"
    )

    https: Port = Field(description="TLS")
    http: Port = Field(description="answers with a redirect to https")


class Replicas(_Section):
    """How many containers of each app service a generation has."""

    backend: Annotated[int, Field(ge=1, le=100)]
    worker: Annotated[int, Field(ge=1, le=100)]


class Database(_Section):
    """The data tier: one plain server, or a primary with replicas that Patroni keeps in order."""

    replicas: Annotated[int, Field(ge=0, le=MOST_REPLICAS)] = Field(
        description="copies that serve reads and take over; 0 is one plain server"
    )
    synchronous: bool = Field(
        description="whether a write is acknowledged only when a replica has it too"
    )


class Soak(_Section):
    """How long the old generation stays warm, and what takes traffic back to it meanwhile."""

    seconds: Annotated[int, Field(ge=0, le=86400)] = Field(
        description="how long the old generation stays warm after the switch"
    )
    requests: Annotated[int, Field(ge=20, le=1000000)] = Field(
        description="how many requests there must be before their figures are judged"
    )
    failed_percent: Annotated[float, Field(ge=0, le=100)] = Field(
        description="how many more of 100 requests may fail than with the old generation"
    )
    slower: Annotated[float, Field(ge=1, le=1000)] = Field(
        description="how many times the old generation's p95 the new one's may be"
    )
    restarts: Annotated[int, Field(ge=0, le=100)] = Field(
        description="how often containers of the new generation may restart"
    )


class Retention(_Section):
    """How long things are kept."""

    releases: Annotated[int, Field(ge=1, le=100)] = Field(description="ways back, in releases")
    build_cache_gib: Annotated[int, Field(ge=1, le=1000)] = Field(
        description="how large the engine's build cache may be after a release, in GiB"
    )
    logs_days: Annotated[int, Field(ge=1, le=3650)] = Field(description="days of logs")


class Backup(_Section):
    """Which data is backed up, and how often."""

    policy: Literal["none", "daily", "continuous"]


class Environment(_Section):
    """Everything Slipway itself needs to know of an environment; complete in each overlay file."""

    engine: Literal["compose"] = Field(description="what runs the containers")
    host: Annotated[str, Field(pattern=rf"^local$|{SSH_HOST}")] = Field(
        description="whose Docker engine: `local` is this machine's, `ssh://user@host` another's"
    )
    registry: Annotated[str, Field(pattern=r"^[a-z0-9.-]+(:\d+)?$")] = Field(
        description="host and port of the site's OCI registry, without a scheme"
    )
    domain: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")] = Field(
        description="the name in the certificate and in the URL"
    )
    ports: Ports
    replicas: Replicas
    database: Database
    source: Annotated[str, Field(pattern=f"^{NAME}$")] = Field(
        description="where releases come from: `tree`, which is the working tree, or an environment"
    )
    keys: tuple[Annotated[str, Field(pattern=KEY)], ...] = Field(
        strict=False,
        description="whose signatures are trusted: public keys in environments/keys, without .pub",
    )
    secrets: Literal["generated", "supplied"] = Field(
        description="whether missing secrets are made by the release or must be put there first"
    )
    soak: Soak
    drain_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        description="how long requests in flight may take to finish on the old generation"
    )
    ready_seconds: Annotated[int, Field(ge=5, le=3600)] = Field(
        description="how long a new container may take to become healthy"
    )
    hook_seconds: Annotated[int, Field(ge=1, le=86400)] = Field(
        description="how long one hook may take"
    )
    free_disk_gib: Annotated[int, Field(ge=1, le=10000)] = Field(
        description="free disk that a build or release needs before it starts"
    )
    monitoring: Literal["minimal", "standard", "full"]
    log_level: Literal["debug", "info", "warning", "error"]
    retention: Retention
    backup: Backup
    approvals: Count = Field(
        description="how many trusted keys, other than the evidence's, must have approved a release"
    )

    @property
    def url(self) -> str:
        """Where users reach the environment."""
        port = "" if self.ports.https == 443 else f":{self.ports.https}"
        return f"https://{self.domain}{port}"


def names(layout: Layout) -> tuple[str, ...]:
    """The environments that have an overlay file, in alphabetical order."""
    return tuple(sorted(path.stem for path in layout.environments.glob("*.yaml")))


def load(name: str, layout: Layout) -> Environment:
    """Read and check the `x-slipway` block of environment `name`.

    Raises Refused when there is no such environment, or with one line per wrong key that names
    file, path and what is accepted.
    """
    known = names(layout)
    if name and not re.fullmatch(NAME, name):
        raise Refused(
            f"{name!r} cannot be an environment's name: small letters and digits, a letter first"
        )
    if not name:
        raise Refused(
            f"Which environment? (there are: {', '.join(known)})",
            next_command=f"the same with --env {known[0] if known else 'dev'}",
        )
    if name not in known:
        raise Refused(
            f"There is no environment {name!r} (there are: {', '.join(known)})",
            next_command=f"invoke status --env {known[0] if known else 'dev'}",
        )
    path = layout.overlay(name)
    block = read_block(path, layout)
    try:
        return Environment.model_validate(block)
    except ValidationError as error:
        shown = layout.shown(path)
        lines = [_complaint(shown, detail) for detail in error.errors()]
        raise Refused("\n".join(lines), next_command=f"edit {shown}") from error


def read_block(path: Path, layout: Layout) -> object:
    """The raw `x-slipway` block of an overlay file. Raises Refused when it cannot be read."""
    shown = layout.shown(path)
    try:
        content = yaml.load(path.read_text(), Loader=_OverlayLoader)  # noqa: S506  # nosec B506
    except yaml.YAMLError as error:
        raise Refused(f"{shown}: not YAML: {str(error).replace(chr(10), ' ')}") from error
    if not isinstance(content, dict) or BLOCK not in content:
        raise Refused(
            f"{shown}: {BLOCK}: missing (every environment states its block completely)",
            next_command=f"copy the block of another file in {layout.shown(layout.environments)}",
        )
    return content[BLOCK]


class _OverlayLoader(yaml.SafeLoader):
    """A safe loader that reads past Compose's own tags (`!reset`, `!override`)."""


def _plain(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


_OverlayLoader.add_multi_constructor("!", _plain)


def _complaint(shown: str, detail: object) -> str:
    assert isinstance(detail, dict)
    location = detail["loc"]
    path = "/".join((BLOCK, *(str(part) for part in location)))
    accepted = _section_keys(location)
    match detail["type"]:
        case "extra_forbidden":
            return f"{shown}: {path}: unknown key (accepted here: {', '.join(accepted)})"
        case "missing":
            return f"{shown}: {path}: missing ({_meaning(location)})"
        case _:
            return f"{shown}: {path}: {detail['input']!r} is wrong ({_rule(str(detail['msg']))})"


def _rule(message: str) -> str:
    return message.replace("Input should", "it should").replace("String should", "it should")


def _section_keys(location: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(_section(location).model_fields)


def _meaning(location: tuple[object, ...]) -> str:
    field = _section(location).model_fields[str(location[-1])]
    if field.description:
        return field.description
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a section with {', '.join(annotation.model_fields)}"
    return str(annotation).replace("typing.", "")


def _section(location: tuple[object, ...]) -> type[BaseModel]:
    """The section of the model in which the last key of `location` stands."""
    section: type[BaseModel] = Environment
    for part in location[:-1]:
        annotation = section.model_fields[str(part)].annotation
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        section = annotation
    return section
