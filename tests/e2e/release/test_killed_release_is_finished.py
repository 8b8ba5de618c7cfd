"""A release that is killed is finished by the next one; nobody is blocked for long."""

from __future__ import annotations

import time

from mix import Rates, mixed
from site_copy import NAME, Site

from slipway.report import Result

LEASE_SECONDS = 60


def test_the_next_release_finishes_what_a_killed_one_began(
    released: Site, figures: list[Result]
) -> None:
    before = released.status()["generation"]
    released.set_environment(log_level="debug")
    with mixed(released, Rates(), 300) as load:
        with released.start("release", "--env", NAME) as killed:
            assert killed.stdout is not None
            for line in killed.stdout:
                if line.startswith("  ") and "prove" in line:
                    break
            # The plan is printed; the new generation is being started.
            time.sleep(3)
            killed.kill()
        blocked = released.invoke("release", "--env", NAME)
        assert blocked.exit_code == 2, blocked.text
        assert "is busy with release" in blocked.text
        time.sleep(LEASE_SECONDS)
        finished = released.invoke("release", "--env", NAME)
        result = load.stop()
    figures.append(result.figure("a release is killed and finished"))
    assert finished.exit_code == 0, finished.text
    status = released.status()
    assert status["generation"] > before
    assert {each["generation"] for each in status["containers"]} == {None, status["generation"]}
    assert load.losses() == []
