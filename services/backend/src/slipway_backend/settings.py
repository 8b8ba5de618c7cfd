"""Settings: from environment variables or files in the secrets folder, checked once at the door."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from slipway_backend.access import Role
from slipway_backend.errors import StartRefused

SECRETS_DIRECTORY = Path("/run/secrets")
MINIMUM_SECRET_BYTES = 32
Level = Literal["minimal", "standard", "full"]


class Settings(BaseSettings):
    """Everything the service can be told. Names are the environment variables' names."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    database_url: str = Field("", description="libpq connection string; several hosts are allowed")
    database_replica_url: str = Field(
        "", description="like DATABASE_URL, of replicas that may answer reads"
    )
    replica_lag_seconds: float = Field(
        5.0, gt=0, description="a replica further behind is passed over"
    )
    jwt_secret: str = Field("", description="key that signs access tokens, at least 32 bytes")
    jwt_secret_previous: str = Field("", description="the key before; its tokens stay good")
    jwt_seconds: int = Field(3600, ge=60, description="life of an access token, seconds")
    session_seconds: int = Field(
        14 * 86400, ge=60, description="seconds after which a session that is not used has ended"
    )
    oidc_issuer: str = Field("", description="the identity provider; empty: passwords alone")
    oidc_client_id: str = ""
    oidc_client_secret: str = Field("", description="empty for a public client")
    oidc_redirect_url: str = Field(
        "", description="https://DOMAIN/v1/login/oidc/callback, as the provider knows it"
    )
    oidc_scopes: str = Field("openid profile email", description="asked of the provider")
    oidc_username_claim: str = "preferred_username"
    oidc_groups_claim: str = "groups"
    oidc_admin_group: str = Field("", description="its members are administrators")
    oidc_editor_group: str = Field("", description="its members are editors")
    oidc_role: Role = Field("reader", description="of everybody else who logs in there")
    oidc_seconds: float = Field(10.0, gt=0, le=60, description="patience per question to it")
    audit: Literal["off", "writes", "all"] = Field("all", description="what the audit log holds")
    audit_days: int = Field(90, ge=1, le=36500, description="days that audit entries are kept")
    admin_username: str = Field("admin", min_length=1)
    admin_password: str = Field("", description="read by `migrate` only")
    probe_username: str = Field("slipway-probe", min_length=1)
    probe_password: str = Field(
        "", description="read by `migrate` only; empty where no monitoring asks questions"
    )
    files_directory: Path = Path("/var/lib/slipway/files")
    model_directory: Path = Path("/opt/slipway/model")
    generation: str = "0"
    release: str = "unreleased"
    environment: str = "dev"
    log_level: str = "info"
    host: str = (
        "0.0.0.0"  # noqa: S104  # nosec B104 - inside a container; --embedded binds loopback
    )
    port: int = Field(8000, ge=0, le=65535)
    drain_seconds: float = Field(5.0, ge=0)
    trusted_proxies: str = Field(
        "127.0.0.1", description="whose X-Forwarded-For names the client; * where only one can call"
    )
    database_pool: int = Field(8, ge=1, description="connections per process")

    monitoring: Level = Field("standard", description="how many figures /metrics gives")

    max_requests: int = Field(200, ge=1, description="answered at once by one process")
    max_requests_per_user: int = Field(64, ge=1, description="answered at once per token or key")
    request_seconds: float = Field(
        150.0, gt=0, description="until an answer must have begun; more than LLM_SECONDS"
    )

    max_upload_bytes: int = Field(100 * 1024 * 1024, ge=1)
    max_expanded_bytes: int = Field(200 * 1024 * 1024, ge=1, description="of a ZIP-based document")
    max_pages: int = Field(5000, ge=1)
    max_text_characters: int = Field(20_000_000, ge=1)
    parser_seconds: float = Field(120.0, gt=0, description="wall clock per document")
    parser_memory_bytes: int = Field(1024 * 1024 * 1024, ge=64 * 1024 * 1024)
    ingest_attempts: int = Field(5, ge=1, description="tries before a document counts as failed")
    stalled_seconds: float = Field(30.0, gt=0, description="silence after which a worker is dead")
    index_check_seconds: float = Field(
        3600.0, ge=0, description="between measurements of the vector index's recall; 0: never"
    )
    worker_heartbeat_file: Path = Path("/tmp/slipway-worker.heartbeat")  # noqa: S108  # nosec B108
    worker_metrics_port: int = Field(0, ge=0, le=65535, description="0 switches it off")

    small_document_bytes: int = Field(
        1024 * 1024, ge=0, description="larger uploads are ingested in a lane of their own"
    )
    small_parser_seconds: float = Field(
        20.0, gt=0, description="wall clock after which a small document moves to the large lane"
    )
    # Together with what the worker itself takes, all parsers fit into its container's mem_limit.
    small_parser_memory_bytes: int = Field(
        256 * 1024 * 1024,
        ge=64 * 1024 * 1024,
        description="with which a small document moves to the large lane when it needs more",
    )
    small_jobs: int = Field(2, ge=1, le=64, description="small documents in work at once")
    large_jobs: int = Field(1, ge=1, le=64, description="large documents in work at once")
    max_unfinished_per_user: int = Field(
        1000, ge=1, description="documents of one user that wait or are in work; more get 429"
    )
    max_unfinished: int = Field(
        20_000, ge=1, description="documents that wait or are in work; more get 503"
    )
    max_metadata_bytes: int = Field(8192, ge=2, description="of a document's metadata as JSON")
    max_event_streams: int = Field(100, ge=1, description="event streams per process")

    embedding_base_url: str = Field(
        "", description="OpenAI-compatible server of embeddings, up to /v1; empty: the builtin one"
    )
    embedding_model: str = Field("", description="the model's name on that server")
    embedding_api_key: str = ""
    embedding_runtime: str = Field(
        "auto",
        min_length=1,
        description="of the builtin model: auto, onnxruntime, openvino; of a server: a label, "
        "another one makes another set",
    )
    embedding_precision: str = Field(
        "as-served", min_length=1, description="label; another one makes another set"
    )
    embedding_batch: int = Field(32, ge=1, le=2048, description="texts per request")
    embedding_seconds: float = Field(60.0, gt=0, le=3600, description="patience per request")
    embedding_maximum_tokens: int = Field(512, ge=16, description="longer texts are cut")
    previous_model_directory: str = Field("", description="model of the set served until now")
    previous_embedding_base_url: str = Field("", description="server of the set served until now")
    previous_embedding_api_key: str = ""
    index_memory_megabytes: int = Field(256, ge=16, le=65536, description="to build one index")

    chunk_tokens: int = Field(200, ge=16)
    chunk_overlap_tokens: int = Field(40, ge=0)
    relevance_floor: float = Field(0.3, ge=-1, le=1, description="least cosine of a useful passage")

    rerank_base_url: str = Field("", description="a server with /rerank, with its /v1")
    rerank_model: str = Field("", description="the reranker's name on that server")
    rerank_api_key: str = ""
    rerank_seconds: float = Field(1.0, gt=0, le=60, description="then the fused order is used")

    llm_base_url: str = Field("", description="an OpenAI-compatible server, with its /v1")
    llm_model: str = Field("", description="the model's name on that server")
    llm_api_key: str = ""
    llm_connect_seconds: float = Field(5.0, gt=0, le=60)
    llm_first_token_seconds: float = Field(
        60.0, gt=0, description="longest silence before the first token and between two"
    )
    llm_seconds: float = Field(120.0, gt=0, description="wall clock per answer")
    llm_max_tokens: int = Field(1024, ge=1, description="length of an answer")
    ollama_base_url: str = Field("", description="instead of LLM_BASE_URL; LLM_MODEL is pulled")
    ollama_keep_alive: str = Field("24h", description="how long Ollama keeps the model loaded")
    history_tokens: int = Field(1000, ge=0, description="of earlier turns that a model is shown")
    condense_questions: bool = Field(
        True, description="have the model turn a follow-up into a query of its own"
    )

    def require_database(self) -> str:
        """Return DATABASE_URL; raise StartRefused when it is not set."""
        if not self.database_url:
            raise StartRefused(
                "DATABASE_URL is not set: give the PostgreSQL address in the environment or in "
                f"{SECRETS_DIRECTORY}/database_url, or run `slipway-backend --embedded`."
            )
        return self.database_url

    def require_jwt_secret(self) -> str:
        """Return JWT_SECRET; raise StartRefused when it, or the one before, is too short."""
        length = len(self.jwt_secret.encode())
        if length < MINIMUM_SECRET_BYTES:
            raise StartRefused(
                f"JWT_SECRET has {length} bytes but needs at least {MINIMUM_SECRET_BYTES}: "
                "make one with `openssl rand -hex 32`."
            )
        previous = len(self.jwt_secret_previous.encode())
        if 0 < previous < MINIMUM_SECRET_BYTES:
            raise StartRefused(
                f"JWT_SECRET_PREVIOUS has {previous} bytes but needs at least "
                f"{MINIMUM_SECRET_BYTES}, or none at all where no key is being replaced."
            )
        return self.jwt_secret

    def require_admin_password(self) -> str:
        """Return ADMIN_PASSWORD; raise StartRefused when it is missing or shorter than 12."""
        if len(self.admin_password) < 12:
            raise StartRefused(
                f"ADMIN_PASSWORD has {len(self.admin_password)} characters but needs at least 12: "
                "make one with `openssl rand -base64 18`."
            )
        return self.admin_password

    @property
    def oidc_decides_roles(self) -> bool:
        """Whether the provider's groups say who administers and edits; else administrators do."""
        return bool(self.oidc_admin_group or self.oidc_editor_group)

    def require_oidc(self) -> str:
        """Return OIDC_ISSUER, empty without a provider.

        Raises StartRefused when something it needs is missing, or it would be asked in the clear.
        """
        if not self.oidc_issuer:
            return ""
        missing = [
            name for name in ("oidc_client_id", "oidc_redirect_url") if not getattr(self, name)
        ]
        if missing:
            raise StartRefused(
                f"OIDC_ISSUER is set but {' and '.join(missing).upper()} is not: give what the "
                "identity provider knows this service by."
            )
        for name in ("oidc_issuer", "oidc_redirect_url"):
            parts = urlsplit(getattr(self, name))
            own = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}
            if parts.scheme != "https" and not own:
                raise StartRefused(f"{name.upper()} must begin with https://.")
        return self.oidc_issuer

    def require_reranker(self) -> str:
        """Return the base URL of the reranker, empty without one.

        Raises StartRefused when address and model do not come together.
        """
        given = self.rerank_base_url.rstrip("/")
        if given and not self.rerank_model:
            raise StartRefused(
                "RERANK_BASE_URL is set but RERANK_MODEL is not: name the model that shall rerank."
            )
        if given and not given.startswith(("http://", "https://")):
            raise StartRefused("RERANK_BASE_URL is no address: it begins with http:// or https://.")
        return given

    def require_language_model(self) -> str:
        """Return the base URL of the language model, empty without one.

        Raises StartRefused when address and model do not come together.
        """
        if self.llm_base_url and self.ollama_base_url:
            raise StartRefused(
                "LLM_BASE_URL and OLLAMA_BASE_URL are both set: keep the one whose model shall "
                "answer."
            )
        given = self.llm_base_url or self.ollama_base_url
        if not given:
            return ""
        name = "LLM_BASE_URL" if self.llm_base_url else "OLLAMA_BASE_URL"
        if not self.llm_model:
            raise StartRefused(
                f"{name} is set but LLM_MODEL is not: name the model that shall answer."
            )
        if not given.startswith(("http://", "https://")):
            raise StartRefused(f"{name} is no address: it begins with http:// or https://.")
        given = given.rstrip("/")
        return given if self.llm_base_url else f"{given}/v1"


def load_settings(secrets_directory: Path = SECRETS_DIRECTORY) -> Settings:
    """Read settings from the environment, then from files named like them in lower case.

    Raises StartRefused with one sentence per wrong value.
    """
    directory = secrets_directory if secrets_directory.is_dir() else None
    try:
        return Settings(_secrets_dir=directory)
    except ValidationError as error:
        complaints = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise StartRefused(f"The settings are not usable: {complaints}.") from None


def debug_wanted() -> bool:
    """Whether tracebacks are wanted on the command line (SLIPWAY_DEBUG=1)."""
    return os.environ.get("SLIPWAY_DEBUG", "") not in ("", "0")
