"""The graph on ONNX Runtime, which runs on every processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray

from slipway_backend.embedding.runtimes import RuntimeName, RuntimeUnusable

_ERRORS_ONLY = 3


class OnnxRuntime:
    """With one thread each call computes in its caller's thread: concurrent calls share the cores.

    Raises:
        RuntimeUnusable: the file cannot be loaded.
    """

    name: RuntimeName = "onnxruntime"
    length_step = 1

    def __init__(self, graph: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        # A thread that waits by spinning takes the core from the requests served beside it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's own kinds have no common class below Exception
            raise RuntimeUnusable(
                f"{graph} cannot be loaded by ONNX Runtime {onnxruntime.__version__}"
            ) from error

    def run(self, identifiers: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return one vector per row."""
        outputs = self._session.run(None, {"input_ids": identifiers, "attention_mask": mask})
        vectors: NDArray[np.float32] = outputs[0]
        return vectors
