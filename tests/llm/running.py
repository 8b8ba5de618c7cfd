"""What the tests of this folder talk to."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import openai

CHAT, EMBEDDING = "tiny-chat", "all-minilm"


@dataclass(frozen=True)
class Running:
    """A llama.cpp server and Slipway's API in front of it, with a document in it."""

    model_server: str
    backend: str
    token: str

    def client(self) -> openai.OpenAI:
        """OpenAI's client of Slipway; close it."""
        return openai.OpenAI(base_url=f"{self.backend}/v1", api_key=self.token, max_retries=0)

    def figure(self, beginning: str) -> float:
        """The sum of the metrics' samples whose lines begin so."""
        lines = httpx.get(f"{self.backend}/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(beginning))
