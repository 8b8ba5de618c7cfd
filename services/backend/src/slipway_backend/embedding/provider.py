"""Which embedder this process uses."""

from __future__ import annotations

from slipway_backend.embedding import Embedder
from slipway_backend.errors import StartRefused
from slipway_backend.settings import Settings


def load_embedder(settings: Settings) -> Embedder:
    """Load the builtin model from MODEL_DIRECTORY; raise StartRefused when it is not there."""
    # The runtime behind it takes memory and start-up time, which `migrate` should not pay.
    from slipway_backend.embedding.builtin import BuiltinEmbedder  # noqa: PLC0415
    from slipway_backend.embedding.folder import ModelUnusable  # noqa: PLC0415

    try:
        return BuiltinEmbedder(settings.model_directory)
    except ModelUnusable as error:
        raise StartRefused(str(error)) from None
