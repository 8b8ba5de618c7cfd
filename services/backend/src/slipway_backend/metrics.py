"""Prometheus figures of one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector


class Metrics:
    """All figures, in a registry of their own so that two apps can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "slipway_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "slipway_http_request_duration_seconds",
            "Time from a request's arrival to the end of its answer.",
            ["method", "route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "slipway_http_requests_in_flight",
            "Requests being answered now.",
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "slipway_stage_duration_seconds",
            "Time per stage of ingestion, search and answering.",
            ["stage"],
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 120),
            registry=self.registry,
        )
        self.documents = Gauge(
            "slipway_documents", "Documents by status.", ["status"], registry=self.registry
        )
        self.chunks = Gauge("slipway_chunks", "Chunks stored.", registry=self.registry)
        self.orphan_chunks = Gauge(
            "slipway_orphan_chunks",
            "Chunks of documents that failed; must be 0.",
            registry=self.registry,
        )
        self.jobs = Gauge(
            "slipway_jobs", "Jobs in the queue by status.", ["status"], registry=self.registry
        )
        self.oldest_job_seconds = Gauge(
            "slipway_oldest_waiting_job_seconds",
            "Age of the oldest document that still waits for ingestion.",
            registry=self.registry,
        )
        self.ingested = Counter(
            "slipway_ingested_documents",
            "Documents ingested by this process, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.answers = Counter(
            "slipway_answers",
            "Questions answered, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.draining = Gauge(
            "slipway_draining", "1 while this process drains.", registry=self.registry
        )
        self.build = Gauge(
            "slipway_build_info",
            "Which release and generation this is.",
            ["release", "generation", "version"],
            registry=self.registry,
        )
