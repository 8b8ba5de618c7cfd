"""The graph on OpenVINO: int8 1.6 times as fast with AVX-512 VNNI, fp32 three times with AMX."""

from __future__ import annotations

import os
from pathlib import Path
from queue import LifoQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway_backend.embedding.precision import Precision
from slipway_backend.embedding.runtimes import RuntimeName, RuntimeUnusable

_MOST_STREAMS = 4
# As in the graph's MatMulNBits: another size is ignored, and then nothing is rounded.
_BLOCK = 64
_PROCESSOR = Path("/proc/cpuinfo")
# What multiplies bytes, and what multiplies bf16, fast enough to be worth it. bf16 without AMX was
# slower than int8 (docs/decisions/0016-two-embedding-runtimes.md).
_UNITS = {Precision.INT8: "avx512_vnni", Precision.FP32: "amx_bf16"}


def is_fast_here(precision: Precision, processor: Path = _PROCESSOR) -> bool:
    """Whether the processor has the units of OpenVINO's fast kernels (known on Linux only)."""
    try:
        lines = processor.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return _UNITS[precision] in flags.split()


class OpenVino:
    """Streams of one thread each, one per core up to four; further callers wait for one.

    An fp32 graph is multiplied in bf16 and added up in fp32.

    Raises:
        RuntimeUnusable: OpenVINO is not installed, or cannot load the file.
    """

    name: RuntimeName = "openvino"
    length_step = 4

    def __init__(self, graph: Path, precision: Precision) -> None:
        try:
            # Half a second and 45 MB that other embedders should not pay.
            import openvino  # type: ignore[import-untyped] # noqa: PLC0415
        except ImportError as error:
            raise RuntimeUnusable("OpenVINO is not installed") from error
        streams = min(os.cpu_count() or 1, _MOST_STREAMS)
        try:
            compiled = openvino.Core().compile_model(
                str(graph),
                "CPU",
                {
                    **_arithmetic(precision),
                    # Pinned threads of several processes meet on the same cores.
                    "ENABLE_CPU_PINNING": False,
                    "NUM_STREAMS": streams,
                    "INFERENCE_NUM_THREADS": streams,
                },
            )
            self._idle: LifoQueue[Any] = LifoQueue()
            for _ in range(streams):
                self._idle.put(compiled.create_infer_request())
        except RuntimeError as error:
            raise RuntimeUnusable(
                f"{graph} cannot be loaded by OpenVINO {openvino.__version__}"
            ) from error

    def run(self, identifiers: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return one vector per row. Raises RuntimeUnusable when the processor lacks a kernel."""
        request = self._idle.get()
        try:
            outputs = request.infer({"input_ids": identifiers, "attention_mask": mask})
            vectors: NDArray[np.float32] = outputs[0].copy()
        except RuntimeError as error:
            raise RuntimeUnusable("OpenVINO cannot compute the model on this processor") from error
        finally:
            self._idle.put(request)
        return vectors


def _arithmetic(precision: Precision) -> dict[str, object]:
    if precision == Precision.FP32:
        return {"INFERENCE_PRECISION_HINT": "bf16"}
    # What is not rounded to bytes stays as exact as in ONNX Runtime.
    return {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": _BLOCK}
