from __future__ import annotations

from procrastinate.jobs import Job

from slipway_backend.queue import Interrupted, _Retry, choose_priority


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


def test_an_upload_waits_behind_its_users_others_but_not_for_ever() -> None:
    now = 1_800_000_000.0
    assert choose_priority(now, 0) > choose_priority(now, 1) > choose_priority(now, 500)
    assert choose_priority(now, 500) > choose_priority(now + 3600, 0)
    assert choose_priority(now + 20 * 365 * 86400, 1000) > -(2**31)
