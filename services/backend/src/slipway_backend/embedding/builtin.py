"""The builtin embedder: all-MiniLM-L6-v2 on ONNX Runtime, inside the process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tokenizers import Tokenizer

from slipway_backend.embedding import Fingerprint
from slipway_backend.embedding.folder import (
    MODEL_FILE,
    TOKENIZER_FILE,
    ModelUnusable,
    read_model_folder,
)

# Larger batches were not faster and held 70 MB more (docs/decisions/0003-embedding-precision.md).
_BATCH = 8
_ERRORS_ONLY = 3


class BuiltinEmbedder:
    """Turns texts into vectors with the model folder that `slipway_backend.embedding.model` builds.

    One instance may be used by several threads at once. With one thread (the default) each call
    computes in its caller's thread, so that concurrent calls share the cores.

    Raises:
        ModelUnusable: the folder is missing or damaged.
    """

    def __init__(self, directory: Path, threads: int = 1) -> None:
        description = read_model_folder(directory)
        self._maximum_tokens = description.maximum_tokens
        self._dimension = description.dimension
        # The vectors of two precisions differ slightly and must not meet in one index.
        self._name = f"{description.name}-{description.precision}"
        self._fingerprint = Fingerprint(
            self._name,
            "builtin",
            "onnxruntime",
            description.precision,
            description.dimension,
            description.weights_sha256,
        )
        self._tokenizer = Tokenizer.from_file(str(directory / TOKENIZER_FILE))
        # The file asks for a fixed length of 128 tokens; here every batch has its own.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._session = _session(directory / MODEL_FILE, threads)

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
    def maximum_tokens(self) -> int:
        """Longest text that is read, in tokens with the two special ones; the rest is left out."""
        return self._maximum_tokens

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one L2-normalised row per text, in the order of `texts`."""
        tokens = [self._tokens(text) for text in texts]
        vectors = np.empty((len(texts), self._dimension), dtype=np.float32)
        # Neighbours of similar length need little padding, which costs as much as text.
        by_length = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
        for start in range(0, len(by_length), _BATCH):
            batch = by_length[start : start + _BATCH]
            vectors[batch] = self._run([tokens[index] for index in batch])
        return vectors

    def count_tokens(self, text: str) -> int:
        """Number of the model's tokens in the whole text, without the two special ones."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def count_tokens_many(self, texts: Sequence[str]) -> list[int]:
        """`count_tokens` of every text, faster than one by one."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def _tokens(self, text: str) -> list[int]:
        tokens = self._tokenizer.encode(text).ids
        if len(tokens) <= self._maximum_tokens:
            return tokens
        return [*tokens[: self._maximum_tokens - 1], tokens[-1]]

    def _run(self, batch: list[list[int]]) -> NDArray[np.float32]:
        longest = max(len(tokens) for tokens in batch)
        identifiers = np.zeros((len(batch), longest), dtype=np.int64)
        mask = np.zeros_like(identifiers)
        for row, tokens in enumerate(batch):
            identifiers[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        outputs = self._session.run(None, {"input_ids": identifiers, "attention_mask": mask})
        vectors: NDArray[np.float32] = outputs[0]
        return vectors


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # A thread that waits by spinning takes the core from the requests served beside it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own kinds have no common class below Exception
        raise ModelUnusable(
            f"{path} cannot be loaded by ONNX Runtime {onnxruntime.__version__}: build it again "
            f"with `python -m slipway_backend.embedding.model {path.parent}`."
        ) from error
