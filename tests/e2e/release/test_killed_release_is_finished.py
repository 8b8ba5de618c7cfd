"""A release that is killed is finished by the next one, at once from the same host."""

from __future__ import annotations

import time
from collections.abc import Callable

from load import Load
from site_copy import NAME, Site

from slipway.report import Result


def test_the_next_release_finishes_what_a_killed_one_began(
    released: Site, configure: Callable[..., None], figures: list[Result]
) -> None:
    before = released.status()["generation"]
    configure(log_level="debug")
    with Load(f"{released.url}/health", released.authority, 20, 300) as load:
        with released.start("release", "--env", NAME) as killed:
            assert killed.stdout is not None
            for line in killed.stdout:
                if line.startswith("  ") and "prove" in line:
                    break
            # The plan is printed; the new generation is being started.
            time.sleep(3)
            killed.kill()
        finished = released.invoke("release", "--env", NAME)
        result = load.stop()
    figures.append(result.figure("a release is killed and finished"))
    assert finished.exit_code == 0, finished.text
    assert "its process has ended" in finished.text
    status = released.status()
    assert status["generation"] > before
    assert {each["generation"] for each in status["containers"]} == {None, status["generation"]}
    assert dict(result.failed) == {}
