"""Two small models in llama.cpp's file format: a chat model that says nothing, and MiniLM.

The chat model has random weights and the shape of a Llama: what it writes means nothing, but it is
written token by token by the real runtime. The embedding model is the builtin one's weights, so
that its vectors can be compared. Names of tensors and keys are those of llama.cpp's own converter
(convert_hf_to_gguf.py, BertModel and LlamaModel).
"""

from __future__ import annotations

import json
import string
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

WIDTH, LAYERS, HEADS, INNER, CONTEXT = 64, 2, 4, 128, 4096
SPECIAL = ("<unk>", "<s>", "</s>")
WORDS = (
    "the a of in to and is was by for on with from at rope crane ferry quay hoist brake load page "
    "safe never always before after each must may one two three four five ten metre hour day"
).split()
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"
)
TokenType = gguf.TokenType


def write_chat_model(path: Path) -> None:
    """Write a Llama of 64 dimensions with seeded random weights."""
    random = np.random.default_rng(7)
    tokens = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    # A space is written as the sign that the tokenizer uses for it.
    pieces = [*string.ascii_letters, *string.digits, *".,:;?!()[]-", "\u2581"]
    pieces += [f"\u2581{word}" for word in WORDS]
    types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    types += [TokenType.BYTE] * 256 + [TokenType.NORMAL] * len(pieces)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny-chat")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens) + len(pieces))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*tokens, *pieces])
    writer.add_token_scores([0.0] * len(tokens) + [float(len(piece)) for piece in pieces])
    writer.add_token_types(types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHAT_TEMPLATE)

    def weights(*shape: int) -> NDArray[np.float32]:
        return random.normal(0, 1 / np.sqrt(shape[-1]), shape).astype(np.float32)

    vocabulary = len(tokens) + len(pieces)
    writer.add_tensor("token_embd.weight", weights(vocabulary, WIDTH))
    output = weights(vocabulary, WIDTH) * 8
    # Bytes and control signs are never the likeliest next token, so that what it writes is text.
    output[: len(tokens)] = 0
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{block}.{name}.weight", weights(WIDTH, WIDTH))
        writer.add_tensor(f"{block}.ffn_gate.weight", weights(INNER, WIDTH))
        writer.add_tensor(f"{block}.ffn_up.weight", weights(INNER, WIDTH))
        writer.add_tensor(f"{block}.ffn_down.weight", weights(WIDTH, INNER))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}.{name}.weight", np.ones(WIDTH, np.float32))
    _finish(writer)


def write_minilm(path: Path, weights_file: Path, tokenizer_file: Path) -> None:
    """Write all-MiniLM-L6-v2 from its published weights and tokenizer."""
    weights = load_file(weights_file)
    vocabulary = json.loads(tokenizer_file.read_text(encoding="utf-8"))["model"]["vocab"]
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder."))
    inner, width = weights["encoder.layer.0.intermediate.dense.weight"].shape

    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_context_length(len(weights["embeddings.position_embeddings.weight"]))
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(12)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(2)
    writer.add_token_list([_piece(word) for word in words])
    writer.add_token_types(
        [TokenType.CONTROL if _is_special(word) else TokenType.NORMAL for word in words]
    )
    writer.add_unk_token_id(vocabulary["[UNK]"])
    writer.add_sep_token_id(vocabulary["[SEP]"])
    writer.add_pad_token_id(vocabulary["[PAD]"])
    writer.add_mask_token_id(vocabulary["[MASK]"])
    writer.add_bos_token_id(vocabulary["[CLS]"])
    writer.add_eos_token_id(vocabulary["[SEP]"])

    for name, tensor in weights.items():
        target = _bert_name(name)
        if target:
            writer.add_tensor(target, np.ascontiguousarray(tensor, dtype=np.float32))
    _finish(writer)


BERT_TOP = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
BERT_BLOCK = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def _bert_name(name: str) -> str | None:
    """The name that llama.cpp gives a tensor of BERT; None for one that it does not use."""
    stem, _, kind = name.rpartition(".")
    if stem in BERT_TOP:
        return f"{BERT_TOP[stem]}.{kind}"
    if not stem.startswith("encoder.layer."):
        return None
    number, _, part = stem.removeprefix("encoder.layer.").partition(".")
    return f"blk.{number}.{BERT_BLOCK[part]}.{kind}"


def _is_special(word: str) -> bool:
    return word.startswith("[") and word.endswith("]") and len(word) > 2


def _piece(word: str) -> str:
    """A word piece as llama.cpp writes it: a sign at the beginning of words, not inside them."""
    if _is_special(word):
        return word
    return word[2:] if word.startswith("##") else f"\u2581{word}"


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
