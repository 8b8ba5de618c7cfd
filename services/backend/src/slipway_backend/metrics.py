"""Prometheus figures of one process, as many as the environment's monitoring level asks for.

Figures of language and embedding models carry the names of OpenTelemetry's conventions for
generative AI (opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics), dots as underscores.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from slipway_backend.logs import detailed, get_logger
from slipway_backend.settings import Level


@dataclass(frozen=True)
class Buckets:
    """Upper bounds of the histograms of one level: seconds, seconds, tokens."""

    request: Sequence[float]
    stage: Sequence[float]
    tokens: Sequence[float]


def bounds(first: float, last: float) -> tuple[float, ...]:
    """Upper bounds in steps of a quarter, ten a decade (ISO 3, R10): 1, 1.25, 1.6, 2, 2.5, ..."""
    series = (1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8)
    decades = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    every = [round(each * 10.0**decade, 8) for decade in decades for each in series]
    return tuple(each for each in every if first <= each <= last)


# Half a second is the service level objective of a query, so that every level can tell it. Each
# level has the bounds of those below: while an environment goes from one to another, both are
# summed by bound, and with others in between a percentile would be the highest bound there is.
BUCKETS: dict[Level, Buckets] = {
    "minimal": Buckets(request=(0.5,), stage=(0.5,), tokens=(1024,)),
    "standard": Buckets(
        request=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25),
        stage=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 25, 100),
        tokens=(16, 64, 256, 1024, 4096, 16384, 65536),
    ),
    # For percentiles that may be read to two digits.
    "full": Buckets(
        request=bounds(0.002, 40),
        stage=bounds(0.0005, 100),
        # The bounds that the conventions recommend.
        tokens=tuple(4**step for step in range(14)),
    ),
}


class Metrics:
    """All figures, in a registry of their own so that two apps can live in one process."""

    def __init__(self, level: Level = "standard") -> None:
        self.level = level
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        if level == "full":
            PlatformCollector(registry=registry)
            GCCollector(registry=registry)
        buckets = BUCKETS[level]
        self.build = Gauge(
            "slipway_build_info",
            "Which release and generation this is.",
            ["release", "generation", "version", "monitoring"],
            registry=registry,
        )
        self.embedder = Gauge(
            "slipway_embedder_info",
            "Which embedding model this process wants, and what computes it here.",
            ["model", "runtime"],
            registry=registry,
        )
        self._requests(registry, buckets)
        self._documents(registry)
        self._stages(registry, buckets)
        self._models(registry, buckets)
        self._database(registry)

    def _requests(self, registry: CollectorRegistry, buckets: Buckets) -> None:
        self.requests = Counter(
            "slipway_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "slipway_http_request_duration_seconds",
            "Time from a request's arrival to the end of its answer.",
            ["method", "route"],
            buckets=buckets.request,
            registry=registry,
        )
        self.in_flight = Gauge(
            "slipway_http_requests_in_flight", "Requests being answered now.", registry=registry
        )
        self.refused = Counter(
            "slipway_http_requests_refused",
            "Requests refused to keep the others fast, by reason.",
            ["reason"],
            registry=registry,
        )
        self.draining = Gauge("slipway_draining", "1 while this process drains.", registry=registry)

    def _documents(self, registry: CollectorRegistry) -> None:
        self.documents = Gauge(
            "slipway_documents", "Documents by status.", ["status"], registry=registry
        )
        self.chunks = Gauge("slipway_chunks", "Chunks stored.", registry=registry)
        self.orphan_chunks = Gauge(
            "slipway_orphan_chunks",
            "Chunks of no served version of a document, counted once a minute; must be 0.",
            registry=registry,
        )
        self.jobs = Gauge(
            "slipway_jobs", "Jobs in the queue by status.", ["status"], registry=registry
        )
        self.oldest_job_seconds = Gauge(
            "slipway_oldest_waiting_job_seconds",
            "Age of the oldest document that still waits for ingestion.",
            registry=registry,
        )
        self.ingested = Counter(
            "slipway_ingested_documents",
            "Documents ingested by this process, by outcome.",
            ["outcome"],
            registry=registry,
        )

    def _stages(self, registry: CollectorRegistry, buckets: Buckets) -> None:
        self.stage_seconds = Histogram(
            "slipway_stage_duration_seconds",
            "Time per stage of ingestion, search and answering.",
            ["stage"],
            buckets=buckets.stage,
            registry=registry,
        )
        self.searches = Counter(
            "slipway_searches",
            "Searches, by route to the vectors: exact over few passages, or the index.",
            ["route"],
            registry=registry,
        )
        self.reranks = Counter(
            "slipway_reranks",
            "Searches given to the reranker, by outcome; without one there are none.",
            ["outcome"],
            registry=registry,
        )
        self.index_recall = Gauge(
            "slipway_index_recall",
            "Recall@10 of the serving set's vector index against exact search, sampled by a worker;"
            " 0 to 1, NaN until measured.",
            registry=registry,
        )
        self.index_recall.set(math.nan)
        self.answers = Counter(
            "slipway_answers", "Questions answered, by outcome.", ["outcome"], registry=registry
        )

    def _models(self, registry: CollectorRegistry, buckets: Buckets) -> None:
        labels = ["gen_ai_operation_name", "gen_ai_request_model"]
        self.model_seconds = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "Time of a call to a model; error_type is empty when it succeeded.",
            [*labels, "error_type"],
            buckets=buckets.stage,
            registry=registry,
        )
        self.first_token_seconds = Histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "Time from a call to the first chunk of a streamed answer.",
            labels,
            buckets=buckets.stage,
            registry=registry,
        )
        self.tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a call; gen_ai_token_type is input or output.",
            [*labels, "gen_ai_token_type"],
            buckets=buckets.tokens,
            registry=registry,
        )

    def _database(self, registry: CollectorRegistry) -> None:
        self.pool = Gauge(
            "slipway_database_pool",
            "Connections of the pool by state: open, idle, and requests that wait for one.",
            ["pool", "state"],
            registry=registry,
        )
        self.reads = Counter(
            "slipway_database_reads",
            "Reads by the server that answered them, and why the primary did.",
            ["server", "reason"],
            registry=registry,
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage, also where it fails."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stage_took(name, time.perf_counter() - started)

    def stage_took(self, name: str, seconds: float) -> None:
        """Count the seconds of a stage; with the level `debug` they are a line too."""
        self.stage_seconds.labels(name).observe(seconds)
        if detailed():
            get_logger().debug("stage", stage=name, seconds=round(seconds, 5))
