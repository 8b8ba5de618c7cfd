"""The probe: asks a known question as a user would, and looks whether the answer cites its source.

Each question has a connection of its own, so that whatever stands before the backends is asked too.
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from slipway_monitoring.errors import MonitoringError
from slipway_monitoring.logs import log
from slipway_monitoring.settings import Settings

COLLECTION = "slipway-probe"
FILENAME = "slipway-probe.md"
QUESTION = "Which lantern hangs in the seventh boathouse of the probe?"
FACT = "the amber lantern with three shutters"
DOCUMENT = f"""# The probe of this environment's monitoring

A question about this page is asked all the time, to see whether users are answered.

In the seventh boathouse of the probe hangs {FACT}.
"""
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Wrong(MonitoringError):
    """What a user would have seen; `outcome` is one word for it."""

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


class Figures:
    """What the probe saw."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.success = Gauge(
            "slipway_probe_success", "1 when the last question was answered.", registry=registry
        )
        self.questions = Counter(
            "slipway_probe_questions", "Questions, by outcome.", ["outcome"], registry=registry
        )
        self.seconds = Histogram(
            "slipway_probe_seconds",
            "From the connection to the whole answer.",
            buckets=BUCKETS,
            registry=registry,
        )
        self.answered = Gauge(
            "slipway_probe_last_success_timestamp_seconds",
            "When a question was answered last.",
            registry=registry,
        )
        self.expires = Gauge(
            "slipway_certificate_expiry_timestamp_seconds",
            "When the certificate that users are shown ends.",
            registry=registry,
        )
        # Not known is not zero, which would be a certificate of 1970.
        for unknown in (self.success, self.answered, self.expires):
            unknown.set(math.nan)


class Probe:
    """One user with one document and one question."""

    def __init__(
        self, settings: Settings, figures: Figures, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._figures = figures
        self._clock = clock
        self._session = ""
        self._prepared = False
        self._last = ""

    def run(self, stop: threading.Event) -> None:
        """Ask again and again; a question is not asked before the one before is answered."""
        while not stop.is_set():
            began = self._clock()
            self.round()
            stop.wait(max(0.0, self._settings.probe_seconds - (self._clock() - began)))

    def round(self) -> str:
        """Ask once, and count the outcome in one word."""
        began = self._clock()
        try:
            with self._client() as http:
                self._log_in(http)
                self._prepare(http)
                began = self._clock()
                self._ask(http)
            outcome, why = "answered", ""
            self._figures.seconds.observe(self._clock() - began)
            self._figures.answered.set_to_current_time()
        except Wrong as error:
            outcome, why = error.outcome, str(error)
        except httpx.TimeoutException as error:
            outcome, why = "timeout", f"{type(error).__name__} {error}"
        except (ValueError, KeyError, TypeError) as error:
            outcome, why = "malformed", f"{type(error).__name__}: {error}"
        except (httpx.HTTPError, OSError, MonitoringError) as error:
            outcome, why = "unreachable", f"{type(error).__name__}: {error}"
        self._figures.questions.labels(outcome).inc()
        self._figures.success.set(outcome == "answered")
        if outcome != self._last:
            log("info" if outcome == "answered" else "error", "probe", outcome, reason=why)
            self._last = outcome
        return outcome

    def _client(self) -> httpx.Client:
        authority = self._settings.secret("ca.crt") or self._settings.secret("tls.crt")
        if authority is None:
            raise MonitoringError(
                f"neither ca.crt nor tls.crt is in {self._settings.secrets_directory}; mount the "
                "volume of secrets there"
            )
        context = ssl.create_default_context(cafile=str(authority))
        # A site's own certificate may be trusted without the authority that signed it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return httpx.Client(
            base_url=f"https://{self._settings.domain}",
            transport=_Inside(
                context, self._host(), self._settings.probe_port, self._figures.expires.set
            ),
            timeout=self._settings.probe_limit_seconds,
            headers={"authorization": f"Bearer {self._session}"} if self._session else {},
            trust_env=False,
        )

    def _host(self) -> str:
        names = self._settings.probe_hosts.split(",")
        for name in names:
            try:
                return socket.gethostbyname(name)
            except OSError:
                continue
        raise Wrong("unreachable", f"none of {', '.join(names)} is there")

    def _log_in(self, http: httpx.Client) -> None:
        if self._session:
            return
        login = {
            "username": self._settings.probe_username,
            "password": self._settings.probe_password,
        }
        self._session = str(_json(http.post("/v1/login", json=login), "login")["access_token"])
        http.headers["authorization"] = f"Bearer {self._session}"

    def _prepare(self, http: httpx.Client) -> None:
        if self._prepared:
            return
        made = http.post("/v1/collections", json={"name": COLLECTION})
        if made.status_code != httpx.codes.CONFLICT:
            self._checked(made, "preparation")
        part = {"file": (FILENAME, DOCUMENT.encode(), "text/markdown")}
        stored = http.post("/v1/documents", params={"collection": COLLECTION}, files=part)
        told = _json(self._checked(stored, "preparation"), "preparation")
        if told["status"] != "ready":
            raise Wrong("preparation", f"the probe's document is {told['status']} yet")
        self._prepared = True

    def _ask(self, http: httpx.Client) -> None:
        asked = {"question": QUESTION, "filters": {"collections": [COLLECTION]}}
        answer = self._checked(http.post("/v1/query", json=asked), "refused")
        told = _json(answer, "refused")
        cited = {each["filename"]: each["passage"] for each in told["citations"]}
        if FACT not in cited.get(FILENAME, ""):
            self._prepared = False
            raise Wrong("wrong", f"the answer cites {sorted(cited) or 'nothing'}")

    def _checked(self, answer: httpx.Response, outcome: str) -> httpx.Response:
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._session = ""
        if not answer.is_success:
            raise Wrong(outcome, f"{answer.request.url.path}: {answer.status_code}")
        return answer


class _Inside(httpx.HTTPTransport):
    """Dials one address under whatever name the URL has; the certificate is for that name.

    `expires` is told when that certificate ends.
    """

    def __init__(
        self, context: ssl.SSLContext, host: str, port: int, expires: Callable[[float], None]
    ) -> None:
        super().__init__(verify=context)
        self._expires = expires
        self._host = host
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host=self._host, port=self._port)
        answer = super().handle_request(request)
        # Before the answer is read: afterwards its connection may be closed.
        shown = answer.extensions["network_stream"].get_extra_info("ssl_object").getpeercert()
        self._expires(ssl.cert_time_to_seconds(shown["notAfter"]))
        return answer


def _json(answer: httpx.Response, outcome: str) -> dict[str, Any]:
    if not answer.is_success:
        raise Wrong(outcome, f"{answer.request.url.path}: {answer.status_code}")
    found = answer.json()
    assert isinstance(found, dict)
    return found
