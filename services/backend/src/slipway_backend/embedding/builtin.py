"""The builtin embedder: all-MiniLM-L6-v2 inside the process, on ONNX Runtime or OpenVINO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from slipway_backend.embedding import Fingerprint
from slipway_backend.embedding.folder import (
    MODEL_FILE,
    TOKENIZER_FILE,
    ModelDescription,
    ModelUnusable,
    read_model_folder,
)
from slipway_backend.embedding.precision import Precision
from slipway_backend.embedding.runtimes import (
    Runtime,
    RuntimeChoice,
    RuntimeName,
    RuntimeUnusable,
)
from slipway_backend.embedding.runtimes.openvino import OpenVino, is_fast_here
from slipway_backend.embedding.selftest import SAME_ARITHMETIC, SOUND, Agreement, agreement
from slipway_backend.logs import get_logger

# Larger batches were not faster and held more memory
# (docs/decisions/0003-embedding-precision.md, 0016-two-embedding-runtimes.md).
_BATCH = 8
_BATCH_TOKENS = 512
# The graph's operators are defined by it, whoever computes them.
_ARITHMETIC_OF = "onnxruntime"


class BuiltinEmbedder:
    """Turns texts into vectors with the model folder that `slipway_backend.embedding.model` builds.

    One instance may be used by several threads at once. `auto` takes OpenVINO where the processor
    has AVX-512 VNNI for the int8 model or AMX for the fp32 model, unless its self-test fails; else
    ONNX Runtime, whose ``threads`` compute one call, with one (the default) in its caller's thread.

    Raises:
        ModelUnusable: the folder is missing or damaged, or the runtime that was asked for does not
            give the vectors that it should.
    """

    def __init__(
        self, directory: Path, *, runtime: RuntimeChoice = "auto", threads: int = 1
    ) -> None:
        description = read_model_folder(directory)
        self._maximum_tokens = description.maximum_tokens
        self._dimension = description.dimension
        # The vectors of two precisions differ slightly and must not meet in one index.
        self._name = f"{description.name}-{description.precision}"
        self._fingerprint = Fingerprint(
            self._name,
            "builtin",
            _ARITHMETIC_OF,
            description.precision,
            description.dimension,
            description.weights_sha256,
        )
        self._tokenizer = Tokenizer.from_file(str(directory / TOKENIZER_FILE))
        # The file asks for a fixed length of 128 tokens; here every batch has its own.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._runtime = self._choose(directory, description, runtime, threads)

    @property
    def name(self) -> str:
        """The model and its precision, for example `all-MiniLM-L6-v2-int8`."""
        return self._name

    @property
    def dimension(self) -> int:
        """Length of every vector."""
        return self._dimension

    @property
    def fingerprint(self) -> Fingerprint:
        """The model with the hash of its published weights."""
        return self._fingerprint

    @property
    def runtime(self) -> RuntimeName:
        """What computes the vectors in this process."""
        return self._runtime.name

    @property
    def maximum_tokens(self) -> int:
        """Longest text that is read, in tokens with the two special ones; the rest is left out."""
        return self._maximum_tokens

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one L2-normalised row per text, in the order of `texts`."""
        # All at once: one by one they would hold the interpreter, and with it the other threads.
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        tokens = [self._cut(encoding.ids) for encoding in encodings]
        vectors = np.empty((len(texts), self._dimension), dtype=np.float32)
        for batch in _batches(tokens):
            vectors[batch] = self._run([tokens[index] for index in batch])
        return vectors

    def count_tokens(self, text: str) -> int:
        """Number of the model's tokens in the whole text, without the two special ones."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def count_tokens_many(self, texts: Sequence[str]) -> list[int]:
        """`count_tokens` of every text, faster than one by one."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def _cut(self, tokens: list[int]) -> list[int]:
        if len(tokens) <= self._maximum_tokens:
            return tokens
        return [*tokens[: self._maximum_tokens - 1], tokens[-1]]

    def _run(self, batch: list[list[int]]) -> NDArray[np.float32]:
        step = self._runtime.length_step
        longest = -(-max(len(tokens) for tokens in batch) // step) * step
        identifiers = np.zeros((len(batch), longest), dtype=np.int64)
        mask = np.zeros_like(identifiers)
        for row, tokens in enumerate(batch):
            identifiers[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return self._runtime.run(identifiers, mask)

    def _choose(
        self, directory: Path, description: ModelDescription, choice: RuntimeChoice, threads: int
    ) -> Runtime:
        graph = directory / MODEL_FILE
        precision = Precision(description.precision)
        if choice == "openvino" or (choice == "auto" and is_fast_here(precision)):
            try:
                self._runtime = OpenVino(graph, precision)
                found = self._agreement(description)
                if found is not None and SAME_ARITHMETIC.met_by(found):
                    return self._runtime
                raise RuntimeUnusable(f"OpenVINO gives other vectors than it should ({found})")
            except RuntimeUnusable as error:
                if choice == "openvino":
                    raise ModelUnusable(
                        f"{error}: set EMBEDDING_RUNTIME to auto or onnxruntime, whose vectors "
                        "belong to the same embedding set."
                    ) from error
                get_logger().warning("openvino_not_used", cause=str(error))
        # Where OpenVINO computes, ONNX Runtime's 25 MB are not loaded.
        from slipway_backend.embedding.runtimes.onnx import OnnxRuntime  # noqa: PLC0415

        try:
            self._runtime = OnnxRuntime(graph, threads)
        except RuntimeUnusable as error:
            raise ModelUnusable(
                f"{error}: build it again with `python -m slipway_backend.embedding.model "
                f"{directory}`."
            ) from error
        found = self._agreement(description)
        if found is not None and not SOUND.met_by(found):
            raise ModelUnusable(
                f"The embedding model gives other vectors on this processor than it should "
                f"({found}): use another host, or a server at EMBEDDING_BASE_URL."
            )
        return self._runtime

    def _agreement(self, description: ModelDescription) -> Agreement | None:
        return agreement(
            self.embed,
            weights_sha256=description.weights_sha256,
            precision=description.precision,
        )


def _batches(tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Places of texts that are embedded together: few, short, and of like length.

    Neighbours of similar length need little padding, which costs as much as text.
    """
    batch: list[int] = []
    for place in sorted(range(len(tokens)), key=lambda index: len(tokens[index])):
        length = len(tokens[place])
        if batch and (len(batch) == _BATCH or (len(batch) + 1) * length > _BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
