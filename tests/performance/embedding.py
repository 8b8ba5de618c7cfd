"""Embedding alone: Slipway's embedder beside bare runtimes, two threads each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray
from performance.floors import BareOpenVino, BareSession

from slipway_backend.embedding.builtin import BuiltinEmbedder
from slipway_backend.embedding.model import build_model
from slipway_backend.embedding.precision import Precision
from slipway_backend.ingestion import EMBEDDING_BATCH

ROUNDS = 4
BATCH = 8
Add = Callable[..., None]


@dataclass
class Work:
    """Calls that embed everything once, and what their rounds took."""

    run: Callable[[Any], NDArray[numpy.float32]]
    calls: Sequence[Any]
    one: Callable[[str], object]
    texts: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    questions: list[float] = field(default_factory=list)

    def round(self, texts: int, questions: Sequence[str]) -> None:
        """Embed everything once on two threads, then each question alone."""
        with ThreadPoolExecutor(2) as threads:
            cpu, started = time.process_time(), time.perf_counter()
            list(threads.map(self.run, self.calls))
            self.seconds += time.perf_counter() - started
            self.cpu_seconds += time.process_time() - cpu
        self.texts += texts
        for question in questions:
            started = time.perf_counter()
            self.one(question)
            self.questions.append(time.perf_counter() - started)


def measure(
    add: Add, model: Path, cache: Path, texts: Sequence[str], questions: Sequence[str]
) -> None:
    """Let ours and the bare runtimes take turns; note rates, processor time, one question's time.

    The bare runtimes get the tokens; ours has the tokenizer to do. What they need beside `model`
    is built below `cache`.
    """
    ours = BuiltinEmbedder(model)
    works = {f"slipway embedder, {ours.fingerprint.precision}": _ours(ours, texts)}
    small, exact = (cache / f"model-{precision}" for precision in (Precision.INT8, Precision.FP32))
    build_model(small, precision=Precision.INT8)
    build_model(exact, precision=Precision.FP32)
    reference = BareSession(exact)
    kinds: dict[str, Callable[[], BareSession | BareOpenVino]] = {
        "bare ONNX Runtime int8": lambda: BareSession(small),
        "bare ONNX Runtime fp32": lambda: reference,
        "bare OpenVINO int8": lambda: BareOpenVino(small),
        "bare OpenVINO f32": lambda: BareOpenVino(exact),
        "bare OpenVINO bf16": lambda: BareOpenVino(exact, "bf16"),
    }
    for name, make in kinds.items():
        try:
            works[name] = _bare(make(), texts)
        except ImportError:
            add(name, None, "chunks/s", note="not installed")
    for number in range(1 + ROUNDS):
        for work in works.values():
            work.round(len(texts), questions)
            if number == 0:  # the first one warms up
                work.texts, work.seconds, work.cpu_seconds = 0, 0.0, 0.0
                work.questions.clear()
    _report(add, works, f"on {ours.runtime}, tokenizer included")
    for name in ("bare ONNX Runtime int8", "bare OpenVINO int8", "bare OpenVINO bf16"):
        if name in works:
            calls = works[name].calls[:10]
            likeness = min(
                float((works[name].run(call) * reference.run(call)).sum(axis=1).min())
                for call in calls
            )
            add(f"{name}: least cosine to fp32", likeness, "")


def _report(add: Add, works: Mapping[str, Work], note: str) -> None:
    rates = {name: work.texts / work.seconds for name, work in works.items()}
    spent = {name: 1000 * work.cpu_seconds / work.texts for name, work in works.items()}
    for name, work in works.items():
        add(name, rates[name], "chunks/s", note=note if name.startswith("slipway") else "")
        add(f"{name}: processor time", spent[name], "ms", note="per chunk")
        half = sorted(work.questions)[len(work.questions) // 2]
        add(f"{name}: one question, p50", 1000 * half, "ms")
    mine = next(name for name in works if name.startswith("slipway"))
    best = max((name for name in works if name != mine), key=lambda name: rates[name])
    title = "embedding: slipway / the best bare runtime"
    add(title, rates[mine] / rates[best], "times", goal=">= 0.9", against=best)
    best = min((name for name in works if name != mine), key=lambda name: spent[name])
    note = "best processor time / ours"
    add(f"{title}, by processor time", spent[best] / spent[mine], "times", against=best, note=note)


def _ours(embedder: BuiltinEmbedder, texts: Sequence[str]) -> Work:
    # As a worker does with a document's passages.
    ordered = sorted(texts, key=embedder.count_tokens)
    starts = range(0, len(texts), EMBEDDING_BATCH)
    calls = [ordered[start : start + EMBEDDING_BATCH] for start in starts]
    return Work(embedder.embed, calls, lambda question: embedder.embed([question]))


def _bare(bare: BareSession | BareOpenVino, texts: Sequence[str]) -> Work:
    ordered = sorted(bare.tokens(texts), key=len)
    calls = [ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH)]
    return Work(bare.run, calls, lambda question: bare.run(bare.tokens([question])))
