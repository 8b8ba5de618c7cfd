"""The vectors of the corpus, really computed by the builtin embedder, and kept between runs."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy
from numpy.typing import NDArray
from performance import corpus

from slipway_backend.embedding.builtin import BuiltinEmbedder
from slipway_backend.embedding.folder import DESCRIPTION_FILE, sha256_of

DIMENSION = 384
_BLOCK = 500
_embedder: BuiltinEmbedder


def _load(model: str) -> None:
    global _embedder  # noqa: PLW0603 - one model per process, loaded once
    os.nice(10)
    _embedder = BuiltinEmbedder(Path(model))


def _embed(texts: list[str]) -> NDArray[numpy.float32]:
    return _embedder.embed(texts)


def vectors(chunks: list[corpus.Chunk], *, model: Path, cache: Path) -> NDArray[numpy.float32]:
    """Return one row per chunk; computes what `cache` does not hold yet, block by block.

    What is kept is named by the generator's and the model's digests. A run that was interrupted
    goes on where it stopped.
    """
    identity = f"{corpus.digest()}-{sha256_of(model / DESCRIPTION_FILE)[:16]}"
    folder = cache / f"vectors-{identity}"
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(chunks), _BLOCK)
    missing = [start for start in starts if not _file(folder, start).exists()]
    # A last block that is short would be taken for a whole one by a larger run.
    short = len(chunks) % _BLOCK
    if missing:
        _compute(chunks, missing, model, folder)
    rows = numpy.concatenate([numpy.load(_file(folder, start)) for start in starts])
    if short and missing:
        _file(folder, starts[-1]).unlink()
    return rows[: len(chunks)].astype(numpy.float32)


def _file(folder: Path, start: int) -> Path:
    return folder / f"{start:07d}.npy"


def _compute(chunks: list[corpus.Chunk], missing: list[int], model: Path, folder: Path) -> None:
    count = sum(min(_BLOCK, len(chunks) - start) for start in missing)
    print(f"embedding {count} chunks of the corpus (kept in {folder.name})", flush=True)
    started = time.monotonic()
    # Spawned, because the runtime's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        os.cpu_count(), mp_context=context, initializer=_load, initargs=(str(model),)
    ) as pool:
        texts = ([chunk.passage for chunk in chunks[at : at + _BLOCK]] for at in missing)
        done = 0
        for start, block in zip(missing, pool.map(_embed, texts), strict=True):
            unfinished = _file(folder, start).with_suffix(".part")
            with unfinished.open("wb") as stream:
                numpy.save(stream, block)
            unfinished.rename(_file(folder, start))
            done += len(block)
            rate = done / (time.monotonic() - started)
            left = (count - done) / rate
            print(f"  {done} of {count}, {rate:.0f}/s, {left / 60:.1f} min left", flush=True)
