"""The language of a document, as the name of the text search configuration that fits it."""

from __future__ import annotations

import io
import lzma
import threading
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from slipway_backend.parsing import Block

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier  # type: ignore[import-untyped]

SAMPLE_CHARACTERS = 6000
LEAST_LETTERS = 40
LEAST_CONFIDENCE = 0.5
OTHER = "simple"
_ENOUGH_BLOCKS = 60
_NO_LANGUAGE = "zxx"

#: ISO 639 code to configuration: all that PostgreSQL 17 has (`\dF`).
CONFIGURATIONS = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}

_loading = threading.Lock()


def identify(blocks: Iterable[Block]) -> str | None:
    """Return a configuration such as ``german``, or ``simple`` for a language that has none.

    None when the text is too short or mixed to be sure of. The first call that has enough text
    loads the model: about half a second and 80 MB, once per process.
    """
    text = sample(list(blocks))
    if sum(sign.isalpha() for sign in text) < LEAST_LETTERS:
        return None
    code, confidence = _identifier().classify(text)
    if confidence < LEAST_CONFIDENCE or code == _NO_LANGUAGE:
        return None
    return CONFIGURATIONS.get(code, OTHER)


def sample(blocks: list[Block]) -> str:
    """Prose from all over the document, or its tables when it has no prose; never code."""
    for kinds in (("text", "heading"), ("table",)):
        chosen = [block.text for block in blocks if block.kind in kinds]
        step = max(1, len(chosen) // _ENOUGH_BLOCKS)
        chosen = chosen[::step]
        share = max(200, SAMPLE_CHARACTERS // max(1, len(chosen)))
        text = "\n".join(part[:share] for part in chosen)[:SAMPLE_CHARACTERS]
        if sum(sign.isalpha() for sign in text) >= LEAST_LETTERS:
            return text
    return ""


def _identifier() -> LanguageIdentifier:
    with _loading:
        return _load()


@cache
def _load() -> LanguageIdentifier:
    """Load the package's model in memory; its own loader writes a temporary file of 68 MB."""
    from array import array  # noqa: PLC0415

    import numpy  # noqa: PLC0415
    from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier  # noqa: PLC0415

    with lzma.open(MODEL_DIR / MODEL_FILE) as stream:
        unpacked = io.BytesIO(stream.read())
    with numpy.load(unpacked, allow_pickle=False) as data:
        moves, rows = data["nextmove"], data["nextmove_row"]
        codes = {2: "H", 4: "I"}
        return LanguageIdentifier(
            data["ptc"],
            data["pc"],
            data["classes"].tolist(),
            array(codes[moves.dtype.itemsize], moves.tobytes()),
            data["out_feat"].tolist(),
            norm_probs=True,
            tk_row=array(codes[rows.dtype.itemsize], rows.tobytes()),
        )
