"""Slipway in front of a real llama.cpp server."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
from llm.running import EMBEDDING, Running

from slipway_backend.embedding.builtin import BuiltinEmbedder

QUESTION = "Which grease belongs in the sheave bearings?"
TEXTS = (
    "The ferry to Utvik leaves at 07:15 from quay four.",
    "Which grease belongs in the sheave bearings?",
    "Reisekosten werden innerhalb von 30 Tagen erstattet.",
)


def test_a_question_reaches_the_model_and_its_tokens_are_counted(running: Running) -> None:
    before = running.figure("gen_ai_client_token_usage_sum")
    response = httpx.post(
        f"{running.backend}/v1/query",
        json={"question": QUESTION},
        headers={"Authorization": f"Bearer {running.token}"},
        timeout=120,
    )
    assert response.status_code == 200, response.text
    # What random weights write cites nothing, and an answer without a citation is a refusal.
    assert response.json()["mode"] == "generated"
    assert running.figure("gen_ai_client_token_usage_sum") > before


def test_a_chat_is_streamed_to_its_end(running: Running) -> None:
    with running.client() as client:
        chunks = list(
            client.chat.completions.create(
                model="slipway", messages=[{"role": "user", "content": QUESTION}], stream=True
            )
        )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1]


def test_a_model_that_the_server_does_not_have_is_a_clear_problem(running: Running) -> None:
    with running.client() as client, pytest.raises(openai.NotFoundError, match="no-such-model"):
        client.chat.completions.create(
            model="no-such-model", messages=[{"role": "user", "content": QUESTION}]
        )


def test_minilm_in_llama_cpp_gives_the_builtin_vectors(running: Running) -> None:
    with openai.OpenAI(base_url=running.model_server, api_key="none") as client:
        given = client.embeddings.create(
            model=EMBEDDING, input=list(TEXTS), encoding_format="float"
        )
    theirs = np.array([item.embedding for item in given.data])
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    ours = BuiltinEmbedder(Path(os.environ["SLIPWAY_MODEL_CACHE"])).embed(TEXTS)
    # The builtin precision is int8, this one float: decision 0003 tells how far apart they are.
    assert (theirs * ours).sum(axis=1).min() > 0.99
