"""The BERT network of all-MiniLM-L6-v2 as an ONNX graph, written without the training library.

With `Precision.INT8` weights and activations are rounded in blocks of one row each, so that the
vector of a text does not depend on the texts it is embedded with. What this costs and gains against
other roundings is in docs/decisions/0003-embedding-precision.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from slipway_backend.embedding.precision import Precision

Weights = Mapping[str, npt.NDArray[np.float32]]

LAYERS = 6
HEADS = 12
DIMENSION = 384
LAYER_NORM_EPSILON = 1e-12
_OPSET = 20
# Fixed, so that an update of the onnx package does not change the built file's bytes.
_IR_VERSION = 10
_CONTRIB_DOMAIN = "com.microsoft"
_BLOCK = 64
# MatMulNBits: "multiply in int8", the activations being rounded block by block at run time.
_MULTIPLY_IN_INT8 = 4


class _Graph:
    """Collects nodes and constants; each method returns the name of the value it adds."""

    def __init__(self, precision: Precision) -> None:
        self.precision = precision
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(
        self,
        operator: str,
        inputs: list[str],
        output: str,
        *,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        self.nodes.append(
            helper.make_node(
                operator, inputs, [output], name=output, domain=domain or None, **attributes
            )
        )
        return output

    def dense(
        self,
        value: str,
        name: str,
        weight: npt.NDArray[np.float32],
        bias: npt.NDArray[np.float32],
    ) -> str:
        """`value @ weight.T + bias`: the weights are stored as (outputs, inputs)."""
        bias_name = self.constant(f"{name}/bias", bias)
        if self.precision is Precision.FP32:
            transposed = self.constant(f"{name}/weight", weight.T)
            product = self.add("MatMul", [value, transposed], f"{name}/product")
            return self.add("Add", [product, bias_name], name)
        outputs, inputs = weight.shape
        blocks, scales = _rounded(weight.reshape(outputs, inputs // _BLOCK, _BLOCK))
        return self.add(
            "MatMulNBits",
            [
                value,
                # The operator reads unsigned bytes whose zero is 128.
                self.constant(f"{name}/weight", (blocks.astype(np.int16) + 128).astype(np.uint8)),
                self.constant(f"{name}/scales", scales[..., 0]),
                "",
                "",
                bias_name,
            ],
            name,
            domain=_CONTRIB_DOMAIN,
            K=inputs,
            N=outputs,
            bits=8,
            block_size=_BLOCK,
            accuracy_level=_MULTIPLY_IN_INT8,
        )

    def rows(self, table: npt.NDArray[np.float32], indices: str, name: str) -> str:
        """The rows of a table that `indices` names."""
        if self.precision is Precision.FP32:
            return self.add("Gather", [self.constant(f"{name}/table", table), indices], name)
        rounded, scales = _rounded(table)
        codes = self.add(
            "Gather", [self.constant(f"{name}/table", rounded), indices], f"{name}/codes"
        )
        scale = self.add(
            "Gather", [self.constant(f"{name}/scales", scales), indices], f"{name}/scale"
        )
        wide = self.add("Cast", [codes], f"{name}/wide", to=TensorProto.FLOAT)
        return self.add("Mul", [wide, scale], name)

    def layer_norm(self, value: str, name: str, weights: Weights, prefix: str) -> str:
        scale = self.constant(f"{name}/scale", weights[f"{prefix}.weight"])
        bias = self.constant(f"{name}/bias", weights[f"{prefix}.bias"])
        return self.add(
            "LayerNormalization", [value, scale, bias], name, axis=-1, epsilon=LAYER_NORM_EPSILON
        )


def _rounded(
    values: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Round each run along the last axis to -127..127 times a scale of its own."""
    peaks = np.abs(values).max(axis=-1, keepdims=True)
    scales = np.where(peaks > 0, peaks / np.float32(127), np.float32(1)).astype(np.float32)
    return np.rint(values / scales).astype(np.int8), scales


def sentence_graph(weights: Weights, precision: Precision, *, maximum_tokens: int) -> ModelProto:
    """Build the graph `input_ids, attention_mask -> embedding`.

    Both inputs are int64 of shape (batch, tokens) with padding on the right; the output is float32
    of shape (batch, 384): the mean over the tokens that are not padding, scaled to length 1.

    Raises:
        KeyError: a weight is missing.
    """
    graph = _Graph(precision)
    lengths = graph.add(
        "ReduceSum",
        [
            graph.add("Cast", ["attention_mask"], "mask_int32", to=TensorProto.INT32),
            graph.constant("token_axis", np.array([1], dtype=np.int64)),
        ],
        "lengths",
        keepdims=0,
    )
    hidden = _embeddings(graph, weights, maximum_tokens)
    for layer in range(LAYERS):
        hidden = _layer(graph, weights, hidden, lengths, layer)
    _pooling(graph, hidden)
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "all-MiniLM-L6-v2",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
                for name in ("input_ids", "attention_mask")
            ],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", DIMENSION])],
            graph.constants,
        ),
        opset_imports=[
            helper.make_opsetid("", _OPSET),
            helper.make_opsetid(_CONTRIB_DOMAIN, 1),
        ],
        ir_version=_IR_VERSION,
        producer_name="slipway",
    )


def _embeddings(graph: _Graph, weights: Weights, maximum_tokens: int) -> str:
    words = graph.rows(weights["embeddings.word_embeddings.weight"], "input_ids", "words")
    # Every token is of the first segment, so that its vector is a constant part of each position.
    positions = (
        weights["embeddings.position_embeddings.weight"][:maximum_tokens]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    tokens = graph.add("Shape", ["input_ids"], "tokens", start=1, end=2)
    position = graph.add(
        "Slice",
        [
            graph.constant("positions/table", positions),
            graph.constant("positions/start", np.array([0], dtype=np.int64)),
            tokens,
            graph.constant("positions/axis", np.array([0], dtype=np.int64)),
        ],
        "positions",
    )
    total = graph.add("Add", [words, position], "embeddings/sum")
    return graph.layer_norm(total, "embeddings", weights, "embeddings.LayerNorm")


def _layer(graph: _Graph, weights: Weights, hidden: str, lengths: str, layer: int) -> str:
    source = f"encoder.layer.{layer}"
    name = f"layer{layer}"

    def dense(value: str, part: str, prefix: str) -> str:
        return graph.dense(
            value,
            f"{name}/{part}",
            weights[f"{source}.{prefix}.weight"],
            weights[f"{source}.{prefix}.bias"],
        )

    attention = graph.add(
        "MultiHeadAttention",
        [
            *(dense(hidden, part, f"attention.self.{part}") for part in ("query", "key", "value")),
            "",
            lengths,
        ],
        f"{name}/attention",
        domain=_CONTRIB_DOMAIN,
        num_heads=HEADS,
    )
    attended = graph.add(
        "Add",
        [hidden, dense(attention, "attention_output", "attention.output.dense")],
        f"{name}/attended_sum",
    )
    attended = graph.layer_norm(
        attended, f"{name}/attended", weights, f"{source}.attention.output.LayerNorm"
    )
    wide = graph.add("Gelu", [dense(attended, "wide", "intermediate.dense")], f"{name}/gelu")
    total = graph.add("Add", [attended, dense(wide, "narrow", "output.dense")], f"{name}/sum")
    return graph.layer_norm(total, name, weights, f"{source}.output.LayerNorm")


def _pooling(graph: _Graph, hidden: str) -> None:
    mask = graph.add("Cast", ["attention_mask"], "mask_float", to=TensorProto.FLOAT)
    last_axis = graph.constant("last_axis", np.array([-1], dtype=np.int64))
    weighted = graph.add(
        "Mul", [hidden, graph.add("Unsqueeze", [mask, last_axis], "mask_column")], "masked"
    )
    # The mean's divisor would cancel in the scaling to length 1, so the sum is enough.
    total = graph.add("ReduceSum", [weighted, "token_axis"], "sum", keepdims=0)
    length = graph.add("ReduceL2", [total, last_axis], "sum_length", keepdims=1)
    floor = graph.constant("length_floor", np.array([1e-12], dtype=np.float32))
    graph.add("Div", [total, graph.add("Max", [length, floor], "divisor")], "embedding")
