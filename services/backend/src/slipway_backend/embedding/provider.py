"""Which embedders this process can use: the wanted one, and those of sets served before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slipway_backend.embedding import Embedder, Fingerprint
from slipway_backend.embedding.folder import (
    TOKENIZER_FILE,
    ModelUnusable,
    read_model_folder,
)
from slipway_backend.embedding.runtimes import CHOICES, RuntimeChoice
from slipway_backend.errors import StartRefused
from slipway_backend.logs import get_logger
from slipway_backend.settings import Settings


def load_embedder(settings: Settings) -> Embedder:
    """Load what the settings want: the server at EMBEDDING_BASE_URL, or the builtin model.

    Raises StartRefused when the model is not there or EMBEDDING_RUNTIME cannot compute it, or the
    server's model is not named.
    """
    if settings.embedding_base_url:
        if not settings.embedding_model:
            raise StartRefused(
                "EMBEDDING_MODEL is not set: name the model that the server at EMBEDDING_BASE_URL "
                "shall embed with."
            )
        return _server(settings, settings.embedding_base_url, settings.embedding_api_key)
    runtime = _named(settings.embedding_runtime)
    if runtime is None:
        raise StartRefused(
            f"EMBEDDING_RUNTIME is {settings.embedding_runtime}, but the builtin model runs on "
            f"{', '.join(CHOICES)}: choose one of them, or set EMBEDDING_BASE_URL."
        )
    try:
        return _builtin(settings.model_directory, runtime)
    except ModelUnusable as error:
        raise StartRefused(str(error)) from None


def load_stored(settings: Settings, stored: Fingerprint) -> Embedder | None:
    """Load the embedder of a stored set that is not the wanted one; None when this process can not.

    The builtin model is looked for in MODEL_DIRECTORY and PREVIOUS_MODEL_DIRECTORY, a server's
    model at PREVIOUS_EMBEDDING_BASE_URL, else at EMBEDDING_BASE_URL. No server is asked yet.
    """
    if stored.provider == "openai":
        if settings.previous_embedding_base_url:
            address, api_key = (
                settings.previous_embedding_base_url,
                settings.previous_embedding_api_key,
            )
        else:
            address, api_key = settings.embedding_base_url, settings.embedding_api_key
        return _server(settings, address, api_key, stored) if address else None
    for folder in _model_folders(settings):
        try:
            description = read_model_folder(folder)
            if description.precision == stored.precision:
                # With a server as the wanted embedder, the setting is a label of that.
                runtime = None if settings.embedding_base_url else settings.embedding_runtime
                embedder = _builtin(folder, _named(runtime) or "auto")
                if embedder.fingerprint == stored:
                    return embedder
        except ModelUnusable:
            continue
    return None


def load_unasked(settings: Settings, stored: Fingerprint) -> Embedder | None:
    """Return the wanted server's embedder for a stored set while that server does not answer.

    None unless the set is of the model that the settings name; its dimension is that of the set.
    """
    wanted = ("openai", settings.embedding_model, settings.embedding_precision)
    named = (stored.provider, stored.model, stored.precision)
    if named != wanted or stored.runtime != _label(settings.embedding_runtime):
        return None
    return _server(settings, settings.embedding_base_url, settings.embedding_api_key, stored)


def _model_folders(settings: Settings) -> Iterator[Path]:
    yield settings.model_directory
    if settings.previous_model_directory:
        yield Path(settings.previous_model_directory)


def _named(runtime: str | None) -> RuntimeChoice | None:
    return next((choice for choice in CHOICES if choice == runtime), None)


def _builtin(folder: Path, runtime: RuntimeChoice) -> Embedder:
    # The runtime behind it takes memory and start-up time, which other embedders should not pay.
    from slipway_backend.embedding.builtin import BuiltinEmbedder  # noqa: PLC0415

    embedder = BuiltinEmbedder(folder, runtime=runtime)
    get_logger().info("embedding_model_loaded", model=embedder.name, runtime=embedder.runtime)
    return embedder


def _server(
    settings: Settings, address: str, api_key: str, stored: Fingerprint | None = None
) -> Embedder:
    from slipway_backend.embedding.openai import OpenAIEmbedder  # noqa: PLC0415
    from slipway_backend.embedding.tokens import EstimatedTokens, FileTokens  # noqa: PLC0415

    tokenizer = settings.model_directory / TOKENIZER_FILE
    return OpenAIEmbedder(
        address,
        stored.model if stored else settings.embedding_model,
        tokens=FileTokens(tokenizer) if tokenizer.is_file() else EstimatedTokens(),
        api_key=api_key,
        runtime=stored.runtime if stored else _label(settings.embedding_runtime),
        precision=stored.precision if stored else settings.embedding_precision,
        batch=settings.embedding_batch,
        seconds=settings.embedding_seconds,
        maximum_tokens=settings.embedding_maximum_tokens,
        dimension=stored.dimension if stored else None,
    )


def _label(runtime: str) -> str:
    return "openai-compatible" if runtime == "auto" else runtime
