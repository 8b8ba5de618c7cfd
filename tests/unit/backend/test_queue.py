from __future__ import annotations

from procrastinate.jobs import Job

from slipway_backend.ingestion import Unavailable
from slipway_backend.queue import LONGEST_WAIT_SECONDS, Interrupted, _Retry, choose_priority


def job(attempts: int) -> Job:
    return Job(id=1, queue="q", lock=None, queueing_lock=None, task_name="t", attempts=attempts)


def test_pauses_grow_until_the_attempts_are_used_up() -> None:
    retry = _Retry(attempts=3)
    decisions = [
        retry.get_retry_decision(exception=OSError(), job=job(attempts)) for attempts in range(3)
    ]
    assert decisions[2] is None
    first, second = (decision.retry_at for decision in decisions[:2] if decision)
    assert first is not None
    assert second is not None
    assert first < second


def test_an_interrupted_job_goes_back_whatever_its_attempts() -> None:
    assert _Retry(attempts=1).get_retry_decision(exception=Interrupted(), job=job(9)) is not None


def test_what_is_unavailable_is_waited_for_whatever_the_attempts() -> None:
    assert _Retry(attempts=1).get_retry_decision(exception=Unavailable(), job=job(9)) is not None


def test_an_outage_is_looked_at_soon_in_the_beginning_and_once_a_minute_later() -> None:
    retry = _Retry(attempts=5)
    assert [retry._wait(now) for now in (1000.0, 1003.0, 1010.0, 1050.0)] == [3, 3, 10, 50]
    assert retry._wait(1150.0) == LONGEST_WAIT_SECONDS
    assert retry._wait(2000.0) == 3


def test_an_upload_waits_behind_its_users_others_but_not_for_ever() -> None:
    now = 1_800_000_000.0
    assert choose_priority(now, 0) > choose_priority(now, 1) > choose_priority(now, 500)
    assert choose_priority(now, 500) > choose_priority(now + 3600, 0)
    assert choose_priority(now + 20 * 365 * 86400, 1000) > -(2**31)
