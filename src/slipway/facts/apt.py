"""Where this host takes Debian's packages from, read from its own apt sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slipway.config.mirror import Mirror

_SOURCES = Path("etc/apt/sources.list.d")


@dataclass(frozen=True)
class Source:
    """One enabled line, or deb822 stanza, of binary packages at one address."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


def mirror(codename: str, root: Path = Path("/")) -> Mirror | None:
    """Return the mirror that serves `codename` to this host, None when no source does."""
    sources = tuple(read(root))
    archive = _best(codename, sources)
    if archive is None:
        return None
    security = _best(f"{codename}-security", sources)
    if security is None:
        # Debian's own layout, which mirrors keep: the two archives stand beside each other.
        return Mirror(archive, f"{archive}-security")
    return Mirror(archive, security)


def read(root: Path = Path("/")) -> Iterator[Source]:
    """Yield the enabled binary sources of the host, in apt's order."""
    folder = root / _SOURCES
    listed = [root / "etc/apt/sources.list", *sorted(folder.glob("*.list"))]
    for path in listed:
        for line in _text(path).splitlines():
            yield from _one_line(line, root)
    for path in sorted(folder.glob("*.sources")):
        for stanza in _stanzas(_text(path)):
            yield from _stanza(stanza, root)


def _best(suite: str, sources: tuple[Source, ...]) -> str | None:
    """Other vendors name Debian's suites too: the most Debian-like source wins, then the first."""
    fitting = [
        source for source in sources if suite in source.suites and "main" in source.components
    ]
    if not fitting:
        return None

    def likeness(source: Source) -> int:
        updates = any(
            f"{suite}-updates" in other.suites for other in sources if other.uri == source.uri
        )
        named = "debian" in source.uri.split("://", 1)[-1]
        return 4 * updates + 2 * ("debian-archive" in source.signed_by) + named

    return max(fitting, key=likeness).uri


def _one_line(line: str, root: Path) -> Iterator[Source]:
    words = line.partition("#")[0].split()
    if len(words) < 4 or words[0] != "deb":
        return
    words = words[1:]
    options = ""
    if words[0].startswith("["):
        end = next((n for n, word in enumerate(words) if word.endswith("]")), None)
        if end is None:
            return
        options = " ".join(words[: end + 1]).strip("[] ")
        words = words[end + 1 :]
    if len(words) < 3:
        return
    signed_by = dict(
        option.split("=", 1) for option in options.split() if option.count("=") == 1
    ).get("signed-by", "")
    for uri in _addresses(words[0], root):
        yield Source(uri, (words[1],), tuple(words[2:]), signed_by)


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    stanza: dict[str, str] = {}
    key = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza = {}
        elif line[0].isspace():
            stanza[key] = f"{stanza.get(key, '')} {line.strip()}"
        else:
            key, _, value = line.partition(":")
            key = key.strip().lower()
            stanza[key] = value.strip()


def _stanza(stanza: dict[str, str], root: Path) -> Iterator[Source]:
    if stanza.get("enabled", "yes").lower() in {"no", "false", "0", "off"}:
        return
    if "deb" not in stanza.get("types", "").split():
        return
    for named in stanza.get("uris", "").split():
        for uri in _addresses(named, root):
            yield Source(
                uri,
                tuple(stanza.get("suites", "").split()),
                tuple(stanza.get("components", "").split()),
                stanza.get("signed-by", ""),
            )


def _addresses(uri: str, root: Path) -> Iterator[str]:
    """What a container can use of an address: cloud images name a file of mirrors instead."""
    if uri.startswith("mirror+file:"):
        path = "/" + uri.removeprefix("mirror+file:").lstrip("/")
        for line in _text(root / path.lstrip("/")).splitlines():
            words = line.partition("#")[0].split()
            if words and words[0].startswith(("http://", "https://")):
                yield words[0].rstrip("/")
                return
    elif uri.startswith(("http://", "https://")):
        yield uri.rstrip("/")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
