"""A host's own apt sources say where Debian's packages come from, however they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.config.mirror import KEYRING, Mirror
from slipway.facts import apt

ARCHIVE = "http://mirror.test/debian"
SECURITY = "http://mirror.test/debian-security"

ARCHIVE_STANZA = f"""\
Types: deb
# a comment inside a stanza
URIs: {ARCHIVE}
Suites: bookworm bookworm-updates
Components: main
Signed-By: {KEYRING}
"""

DEB822 = f"""\
{ARCHIVE_STANZA}
Types: deb deb-src
URIs: {SECURITY}/
Suites:
 bookworm-security
Components: main contrib
"""

ONE_LINE = f"""\
# deb http://commented.test/debian bookworm main
deb {ARCHIVE}/ bookworm main contrib
deb-src {ARCHIVE} bookworm main
deb [arch=amd64 signed-by={KEYRING}] {ARCHIVE} bookworm-updates main
deb {SECURITY} bookworm-security main # trailing words
"""

CASES: dict[str, tuple[dict[str, str], Mirror | None]] = {
    "deb822": ({"sources.list.d/debian.sources": DEB822}, Mirror(ARCHIVE, SECURITY)),
    "one line each": ({"sources.list": ONE_LINE}, Mirror(ARCHIVE, SECURITY)),
    "a security mirror of another name": (
        {
            "sources.list": f"deb {ARCHIVE} bookworm main\n"
            "deb https://fixes.test/all bookworm-security main\n"
        },
        Mirror(ARCHIVE, "https://fixes.test/all"),
    ),
    "no security mirror: the one beside the archive": (
        {"sources.list": f"deb {ARCHIVE} bookworm main\n"},
        Mirror(ARCHIVE, SECURITY),
    ),
    "another vendor that names the same suite, listed first": (
        {
            "sources.list.d/a-vendor.list": "deb https://vendor.test/apt bookworm main\n",
            "sources.list.d/debian.sources": DEB822,
        },
        Mirror(ARCHIVE, SECURITY),
    ),
    "a stanza that is switched off": (
        {"sources.list.d/debian.sources": "Enabled: no\n" + ARCHIVE_STANZA},
        None,
    ),
    "a file of mirrors, as cloud images have it": (
        {
            "sources.list.d/debian.sources": DEB822.replace(
                ARCHIVE + "\n", "mirror+file:///etc/apt/mirrors/debian.list\n"
            ),
            "mirrors/debian.list": f"# first wins\n{ARCHIVE}\thost:any\n",
        },
        Mirror(ARCHIVE, SECURITY),
    ),
    "only a medium that containers cannot read": (
        {"sources.list": "deb cdrom:[Debian]/ bookworm main\n"},
        None,
    ),
    "lines that are not sources": (
        {"sources.list": "deb\ndeb [arch=amd64\ndeb [arch=amd64] http://mirror.test/debian\n"},
        None,
    ),
    "no sources at all": ({}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_mirror(case: str, tmp_path: Path) -> None:
    files, expected = CASES[case]
    for name, text in files.items():
        path = tmp_path / "etc/apt" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert apt.mirror("bookworm", tmp_path) == expected


def test_a_mirror_gives_the_suite_with_its_updates_and_its_security_fixes() -> None:
    assert Mirror(ARCHIVE, SECURITY).lines("trixie") == (
        f"deb {ARCHIVE} trixie main",
        f"deb {ARCHIVE} trixie-updates main",
        f"deb {SECURITY} trixie-security main",
    )
