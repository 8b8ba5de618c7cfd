"""A release that fails leaves the old generation serving and says why."""

from __future__ import annotations

import uuid

from mix import Rates, mixed
from site_copy import NAME, Site

from slipway.report import Result

# Never the same twice: the registry keeps what an earlier run of the tests has built.
BROKEN = f'\nraise SystemExit("this backend cannot start")  # {uuid.uuid4()}\n'


def test_a_backend_that_cannot_start_is_taken_back_and_explained(
    released: Site, figures: list[Result]
) -> None:
    before = released.status()
    path = released.root / "services/backend/src/slipway_backend/api/app.py"
    whole = path.read_text()
    path.write_text(whole + BROKEN)
    try:
        with mixed(released, Rates(), 240) as load:
            answer = released.invoke("release", "--env", NAME)
            result = load.stop()
    finally:
        path.write_text(whole)
    figures.append(result.figure("a release fails"))
    assert answer.exit_code == 1
    assert "did not become healthy" in answer.text
    assert "this backend cannot start" in answer.text
    assert "started again" in answer.text
    assert "Traceback" not in answer.text
    after = released.status()
    assert after["generation"] == before["generation"]
    assert {each["name"] for each in after["containers"]} == {
        each["name"] for each in before["containers"]
    }
    assert load.losses() == []
    again = released.invoke("release", "--env", NAME)
    assert again.exit_code == 0
    assert "Nothing to do" in again.text
