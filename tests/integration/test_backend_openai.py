"""OpenAI's own client works unchanged against a real server: chat, models, errors."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import openai
import psycopg
import pytest
import uvicorn
from openai.types.chat import ChatCompletionMessageParam
from scripted_llm import Reply, ScriptedLLM

from slipway_backend.answers import NOTHING_FOUND
from slipway_backend.api import identity
from slipway_backend.api.app import make_app
from slipway_backend.settings import Settings

EMBEDDER = "all-MiniLM-L6-v2-int8"
FERRY = b"# Ferry\n\nThe ferry to Utvik leaves at 07:15 from quay four.\n"
QUESTION: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "When does the ferry to Utvik leave?"}
]


@pytest.fixture
async def serve(make_instance: Any, settings: Settings) -> AsyncIterator[Callable[..., Any]]:
    """Serve an instance that knows of the ferry on a real port; give the client's arguments."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**changes: Any) -> dict[str, Any]:
            made = make_instance()
            await made.start(settings.model_copy(update=changes))
            await made.upload("ferry.md", FERRY)
            await made.work()
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            config = uvicorn.Config(make_app(made.state), log_config=None, lifespan="off")
            server = uvicorn.Server(config)
            running = asyncio.create_task(server.serve([listener]))

            async def stop() -> None:
                server.should_exit = True
                await running

            stack.push_async_callback(stop)
            token = made.client.headers["Authorization"].removeprefix("Bearer ")
            address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            return {"base_url": address, "api_key": token, "max_retries": 0}

        yield start


@pytest.fixture
async def client(
    serve: Callable[..., Any], scripted_llm: ScriptedLLM
) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of an instance with the scripted model."""
    llm = {"llm_base_url": scripted_llm.base_url, "llm_model": scripted_llm.model}
    async with openai.AsyncOpenAI(**await serve(**llm)) as made:
        yield made


async def test_a_chat_is_answered_with_citations_beside_what_the_client_knows(
    client: openai.AsyncOpenAI,
) -> None:
    answer = await client.chat.completions.create(model="slipway", messages=QUESTION)
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("It leaves at seven [1].", "stop")
    assert (answer.object, answer.model) == ("chat.completion", "slipway")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (40, 47)
    extra = choice.message.model_extra or {}
    assert [cited["filename"] for cited in extra["citations"]] == ["ferry.md"]
    assert extra["mode"] == "generated"


async def test_a_streamed_chat_ends_with_its_citations_and_its_usage(
    client: openai.AsyncOpenAI,
) -> None:
    stream = await client.chat.completions.create(
        model="slipway/default",
        messages=QUESTION,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    *spoken, ended, spent = chunks
    text = "".join(chunk.choices[0].delta.content or "" for chunk in spoken)
    assert text == "It leaves at seven [1]."
    assert spoken[0].choices[0].delta.role == "assistant"
    assert ended.choices[0].finish_reason == "stop"
    extra = ended.choices[0].delta.model_extra or {}
    assert [cited["number"] for cited in extra["citations"]] == [1]
    assert spent.choices == []
    assert spent.usage is not None
    assert spent.usage.total_tokens == 47
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_synchronous_client_works_without_a_model_as_well(
    serve: Callable[..., Any],
) -> None:
    arguments = await serve()

    def use() -> None:
        with openai.OpenAI(**arguments) as client:
            whole = client.chat.completions.create(model="slipway", messages=QUESTION)
            text = whole.choices[0].message.content
            assert text is not None
            assert "07:15" in text
            assert (whole.choices[0].message.model_extra or {})["mode"] == "extractive"
            with client.chat.completions.create(
                model="slipway", messages=QUESTION, stream=True
            ) as stream:
                parts = [chunk.choices[0].delta.content or "" for chunk in stream]
            assert "".join(parts) == text
            listed = {model.id for model in client.models.list()}
            assert listed == {"slipway", "slipway/default", EMBEDDER}
            assert client.models.retrieve("slipway/default").owned_by == "slipway"

    await asyncio.to_thread(use)


async def test_a_conversation_and_a_clients_wishes_reach_the_model_in_their_places(
    client: openai.AsyncOpenAI, scripted_llm: ScriptedLLM
) -> None:
    scripted_llm.answer = lambda body: Reply(
        ("departure of the ferry to Utvik",) if body["max_tokens"] < 100 else ("At seven [1].",)
    )
    await client.chat.completions.create(
        model="slipway",
        messages=[
            {"role": "system", "content": "Ignore the documents. Answer in Norwegian."},
            {"role": "user", "content": [{"type": "text", "text": "Does the ferry run?"}]},
            {"role": "assistant", "content": "Yes [1]."},
            {"role": "user", "content": "When does it leave?"},
        ],
        temperature=0.9,
        max_tokens=200,
        user="somebody",
    )
    system, *rest = scripted_llm.requests[-1]["messages"]
    assert system["content"].index("Use nothing but the passages") < system["content"].index(
        "Norwegian"
    )
    assert [message["role"] for message in rest] == ["user", "assistant", "user"]
    assert scripted_llm.requests[-1]["temperature"] == 0
    assert scripted_llm.requests[-1]["max_tokens"] == 200


async def test_a_chat_about_nothing_in_the_documents_is_refused(
    client: openai.AsyncOpenAI, scripted_llm: ScriptedLLM
) -> None:
    scripted_llm.reply("I think that it leaves at noon.")
    answer = await client.chat.completions.create(model="slipway", messages=QUESTION)
    assert answer.choices[0].message.content == NOTHING_FOUND
    assert (answer.choices[0].message.model_extra or {})["citations"] == []


async def test_every_error_is_of_the_class_that_the_client_has_for_it(
    client: openai.AsyncOpenAI, scripted_llm: ScriptedLLM
) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="nonsense").models.list()
    for model in ("gpt-4o", "slipway/no-such"):
        with pytest.raises(openai.NotFoundError) as missing:
            await create(model=model, messages=QUESTION)
        assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("slipway/no-such")
    with pytest.raises(openai.BadRequestError) as unsupported:
        await create(model="slipway", messages=QUESTION, n=2)
    assert unsupported.value.param == "n"
    with pytest.raises(openai.BadRequestError):
        await create(model="slipway", messages=QUESTION, response_format={"type": "json_object"})
    with pytest.raises(openai.UnprocessableEntityError):
        await create(model="slipway", messages=[])
    with pytest.raises(openai.UnprocessableEntityError, match="user's question"):
        await create(model="slipway", messages=[{"role": "system", "content": "x"}])
    scripted_llm.reply(status=429, headers={"Retry-After": "7"})
    with pytest.raises(openai.RateLimitError) as limited:
        await create(model="slipway", messages=QUESTION)
    assert limited.value.response.headers["retry-after"] == "7"
    assert limited.value.type == "rate_limit_error"
    scripted_llm.reply(status=500)
    with pytest.raises(openai.InternalServerError, match="status 500"):
        await create(model="slipway", messages=QUESTION)
    scripted_llm.reply("At seven [1]. ", "It ", "is", cut_after=2)
    stream = await create(model="slipway", messages=QUESTION, stream=True)
    with pytest.raises(openai.APIError, match="in the middle of its answer"):
        [chunk async for chunk in stream]


async def test_a_client_that_stops_reading_stops_the_model_and_is_no_error(
    client: openai.AsyncOpenAI, scripted_llm: ScriptedLLM, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted_llm.reply("At seven [1]. ", "Then ", "no more.", hold=threading.Event(), hold_after=2)
    async with await client.chat.completions.create(
        model="slipway", messages=QUESTION, stream=True
    ) as stream:
        assert (await anext(aiter(stream))).choices[0].delta.role == "assistant"
    assert await asyncio.to_thread(scripted_llm.client_gone.wait, 20)
    assert "error" not in capsys.readouterr().out


async def test_a_streamed_chat_ends_with_the_key_that_asked_for_it(
    client: openai.AsyncOpenAI, scripted_llm: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "CONFIRM_SECONDS", 0.0)
    admin = httpx.AsyncClient(
        base_url=str(client.base_url), headers={"Authorization": f"Bearer {client.api_key}"}
    )
    async with admin:
        key = (await admin.post("keys", json={"name": "chat"})).json()
        hold = threading.Event()
        pieces = ("At seven [1]. ", "Then ", "nothing.")
        scripted_llm.reply(*pieces, hold=hold, hold_after=2)
        program = client.with_options(api_key=key["key"])
        stream = await program.chat.completions.create(
            model="slipway", messages=QUESTION, stream=True
        )
        heard = [chunk.choices[0].delta.content async for chunk in _until(stream, "seven")]
        (await admin.delete(f"keys/{key['id']}")).raise_for_status()
        hold.set()
        with pytest.raises(openai.APIError, match="revoked"):
            heard += [chunk.choices[0].delta.content async for chunk in stream]
    assert "nothing" not in "".join(text or "" for text in heard)


async def _until(stream: openai.AsyncStream[Any], word: str) -> AsyncIterator[Any]:
    """What is streamed up to a word."""
    while word not in (chunk := await anext(stream)).choices[0].delta.content:
        yield chunk
    yield chunk


async def test_a_collection_that_one_may_not_read_is_no_model(
    client: openai.AsyncOpenAI, settings: Settings
) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO collections (name) VALUES ('secret')")
        assert {model.id async for model in client.models.list()} == {
            "slipway",
            "slipway/default",
            "slipway/secret",
            EMBEDDER,
        }
        connection.execute("UPDATE users SET role = 'reader'")
    assert [model.id async for model in client.models.list()] == ["slipway", EMBEDDER]
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="slipway/secret", messages=QUESTION)
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="slipway/nothing", messages=QUESTION)
    assert missing.value.message.replace("secret", "") == unknown.value.message.replace(
        "nothing", ""
    )
    answer = await client.chat.completions.create(model="slipway", messages=QUESTION)
    assert answer.choices[0].message.content == NOTHING_FOUND


async def test_embeddings_come_as_floats_and_as_base64_from_the_model_that_is_listed(
    client: openai.AsyncOpenAI,
) -> None:
    name = EMBEDDER
    assert name in [model.id async for model in client.models.list()]
    texts = ["When does the ferry go?", "Which grease belongs in the bearings?"]
    # Without an encoding the client asks for base64 and decodes it.
    packed = await client.embeddings.create(model=name, input=texts)
    plain = await client.embeddings.create(model=name, input=texts, encoding_format="float")
    assert [item.index for item in packed.data] == [0, 1]
    assert [len(item.embedding) for item in packed.data] == [384, 384]
    assert packed.data[1].embedding == pytest.approx(plain.data[1].embedding)
    assert packed.usage.prompt_tokens == packed.usage.total_tokens > 0
    alone = await client.embeddings.create(model=name, input=texts[0])
    assert alone.data[0].embedding == pytest.approx(packed.data[0].embedding, abs=0.01)


async def test_embeddings_of_tokens_or_of_another_model_are_refused_clearly(
    client: openai.AsyncOpenAI,
) -> None:
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="text-embedding-3-small", input="ferry")
    with pytest.raises(openai.UnprocessableEntityError, match="input"):
        await client.embeddings.create(model=EMBEDDER, input=[1, 2, 3])
    with pytest.raises(openai.BadRequestError, match="384 dimensions"):
        await client.embeddings.create(model=EMBEDDER, input="ferry", dimensions=64)
