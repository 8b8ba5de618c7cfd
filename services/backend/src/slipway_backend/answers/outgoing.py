"""What leaves us of a text that a model wrote or a document holds: citations that exist, no traps.

Clients show answers as Markdown, and a picture in it is fetched without a click: an address with
someone's data in it would carry them away. So no answer has pictures, links or HTML, and an address
stands only where a passage has it word by word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from slipway_backend.answers.prompts import NOTHING_FOUND, visible

REMOVED = "(address removed)"
_CITED = re.compile(r"\s?[\[\u3010]\s*(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\s*[\]\u3011]")
_ADDRESS = re.compile(
    r"""(?:
        (?:\b[a-z][a-z0-9+.-]{0,20}:)?//
        | \bwww\.
        | \b(?:blob|data|file|intent|javascript|mailto|sms|tel|vbscript):
        | \b(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}/
    )[^\s\[\]<>]+""",
    re.IGNORECASE | re.VERBOSE,
)
# What may stand behind an address in a sentence without being part of it.
_CLOSING = ".,;:!?\"'*_`)]}>\u203a\u2019\u201d"
_BROKEN = (
    # Pictures, links, their definitions; HTML; references to characters, which hide all of these.
    (re.compile(r"!(?=\[)"), "! "),
    (re.compile(r"\](?=[(:])"), "] "),
    (re.compile(r"<(?=[A-Za-z/!?])"), "\u2039"),
    (re.compile(r"&(?=#)"), "& "),
)
_THOUGHT = "<think>"
_THOUGHT_END = "</think>"
# Without white space for so long, text is cut anywhere.
LONGEST_WORD = 2000


class Outgoing:
    """Takes text as it comes, gives what may leave: whole words only, so that no trap is halved."""

    def __init__(self, passages: Iterable[str], *, numbers: int) -> None:
        self._passages = list(passages)
        self._numbers = numbers
        self._pending = ""
        self._thinking: bool | None = None
        self.cited: set[int] = set()

    def feed(self, text: str) -> str:
        """Take more; return what may leave now, which may be nothing."""
        self._pending += text
        if not self._has_spoken():
            return ""
        end = self._before_open_citation(self._last_space(len(self._pending)))
        if end <= 0:
            if len(self._pending) < LONGEST_WORD:
                return ""
            # The space keeps what follows from completing what was begun.
            ready, self._pending = self._pending, ""
            return self._clean(ready) + " "
        ready, self._pending = self._pending[:end], self._pending[end:]
        return self._clean(ready)

    def finish(self) -> str:
        """Return what is left."""
        # A thought that never ended is no answer.
        ready = "" if self._thinking else self._pending
        self._pending = ""
        return self._clean(ready)

    def _has_spoken(self) -> bool:
        """Whether the answer has begun; what some models think aloud before it is dropped."""
        if self._thinking is None:
            start = self._pending.lstrip()
            if len(start) < len(_THOUGHT) and _THOUGHT.startswith(start):
                return False
            self._thinking = start.startswith(_THOUGHT)
        if self._thinking:
            _, end, rest = self._pending.partition(_THOUGHT_END)
            if not end:
                return False
            self._pending, self._thinking = rest.lstrip(), False
        return True

    def _last_space(self, end: int) -> int:
        return max(self._pending.rfind(space, 0, end) for space in " \n\t")

    def _before_open_citation(self, end: int) -> int:
        """Where to stop so that ``[1, 2]`` is not parted at its space."""
        opened = max(self._pending.rfind(mark, 0, max(end, 0)) for mark in "[\u3010")
        if opened < 0 or not re.fullmatch(r"[\d\s,;]*", self._pending[opened + 1 : end]):
            return end
        # With the white space before it, which goes when the number does.
        end = self._last_space(opened)
        while end > 0 and self._pending[end - 1].isspace():
            end -= 1
        return end

    def _clean(self, text: str) -> str:
        text = _ADDRESS.sub(self._known_address, visible(text))
        text = _CITED.sub(self._known_numbers, text)
        for pattern, broken in _BROKEN:
            text = pattern.sub(broken, text)
        return text

    def _known_address(self, found: re.Match[str]) -> str:
        address = found[0].rstrip(_CLOSING)
        rest = found[0][len(address) :]
        known = any(address in passage for passage in self._passages)
        return (address if known else REMOVED) + rest

    def _known_numbers(self, found: re.Match[str]) -> str:
        given = [int(number) for number in re.findall(r"\d+", found[1])]
        known = [number for number in given if 1 <= number <= self._numbers]
        self.cited.update(known)
        if not known:
            # What stood on both sides must not become a link.
            return " " if found.string[found.end() : found.end() + 1] in tuple("([:") else ""
        space = found[0][0] if found[0][0].isspace() else ""
        return space + "".join(f"[{number}]" for number in known)


def is_refusal(text: str) -> bool:
    """Whether a model says that the passages do not answer."""
    said = " ".join(re.findall(r"\w+", text.lower()))
    refusal = " ".join(re.findall(r"\w+", NOTHING_FOUND.lower()))
    return said.startswith(refusal)
