"""One environment: the typed content of its `x-slipway` block."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from slipway.config.backup import Backup
from slipway.config.layout import Layout
from slipway.config.logs import Logs
from slipway.config.members import MOST_REPLICAS
from slipway.config.monitoring import Alerts, Level
from slipway.config.section import Section, sections
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


class Ports(Section):
    """The address and ports that the edge publishes on the host."""

    address: Annotated[str, AfterValidator(_ip_address)] = Field(
        description="the host's address to publish on; 0.0.0.0 is every one, 127.0.0.1 this host"
    )

    https: Port = Field(description="TLS")
    http: Port = Field(description="answers with a redirect to https")


class Replicas(Section):
    """How many containers of each app service a generation has."""

    backend: Annotated[int, Field(ge=1, le=100)]
    worker: Annotated[int, Field(ge=1, le=100)]


class Database(Section):
    """The data tier: one plain server, or a primary with replicas that Patroni keeps in order."""

    replicas: Annotated[int, Field(ge=0, le=MOST_REPLICAS)] = Field(
        description="copies that serve reads and take over; 0 is one plain server"
    )
    synchronous: bool = Field(
        description="whether a write is acknowledged only when a replica has it too"
    )


class Soak(Section):
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


class Retention(Section):
    """How long things are kept."""

    releases: Annotated[int, Field(ge=1, le=100)] = Field(description="ways back, in releases")
    build_cache_gib: Annotated[int, Field(ge=1, le=1000)] = Field(
        description="how large the engine's build cache may be after a release, in GiB"
    )


class Environment(Section):
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
    monitoring: Level = Field(
        description="`none`: nobody watches; else how much is watched, how often, for how long"
    )
    alerts: Alerts
    error_budget: Literal["warn", "refuse"] = Field(
        description="what a release does while an objective's budget of errors is spent"
    )
    log_level: Literal["debug", "info", "warning", "error"]
    logs: Logs | None = Field(
        description="how long the central log store keeps lines, or null: the containers alone do"
    )
    retention: Retention
    backup: Backup
    approvals: Count = Field(
        description="how many trusted keys, other than the evidence's, must have approved a release"
    )

    @field_validator("error_budget")
    @classmethod
    def _measured(cls, value: str, before: ValidationInfo) -> str:
        if value == "refuse" and before.data.get("monitoring") == "none":
            raise ValueError("with `monitoring: none` nobody measures what is spent")
        return value

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
    kind = str(detail["type"])
    location, section = _place(detail["loc"])
    if kind.startswith("union_tag"):
        # The key that chooses between sections is the one to name.
        location = (*location, str(detail["ctx"]["discriminator"]).strip("'"))
    path = "/".join((BLOCK, *location))
    match kind:
        case "extra_forbidden":
            return (
                f"{shown}: {path}: unknown key (accepted here: {', '.join(section.model_fields)})"
            )
        case "missing":
            return f"{shown}: {path}: missing ({_meaning(section, location[-1])})"
        case "union_tag_not_found":
            return f"{shown}: {path}: missing (it says which keys follow)"
        case "union_tag_invalid":
            context = detail["ctx"]
            return (
                f"{shown}: {path}: {context['tag']!r} is wrong (it should be {_choices(context)})"
            )
        case _:
            return f"{shown}: {path}: {detail['input']!r} is wrong ({_rule(str(detail['msg']))})"


def _choices(context: dict[str, str]) -> str:
    return " or ".join(context["expected_tags"].split(", "))


def _rule(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message.replace("Input should", "it should").replace("String should", "it should")


def _meaning(section: type[BaseModel], key: str) -> str:
    field = section.model_fields[key]
    if field.description:
        return field.description
    inner = next(sections(field.annotation), None)
    if inner is not None:
        return f"a section with {', '.join(inner.model_fields)}"
    return str(field.annotation).replace("typing.", "")


def _place(location: tuple[object, ...]) -> tuple[tuple[str, ...], type[BaseModel]]:
    """The keys of a location, and the section in which the last of them stands.

    Where one of several sections may stand, the value that chooses it is part of a location, and
    no key.
    """
    section: type[BaseModel] = Environment
    path: list[str] = []
    rest = [str(part) for part in location]
    while rest:
        key = rest.pop(0)
        path.append(key)
        field = section.model_fields.get(key)
        inner = () if field is None else tuple(sections(field.annotation))
        if len(inner) > 1 and rest:
            chosen = rest.pop(0)
            inner = tuple(each for each in inner if chosen in _tags(each))
        if not inner or not rest:
            break
        section = inner[0]
    return (*path, *rest), section


def _tags(section: type[BaseModel]) -> tuple[str, ...]:
    """The values of the key that chooses this section, which is its first one."""
    first = next(iter(section.model_fields.values()))
    return get_args(first.annotation)
