"""What the toolbox prints is read into facts."""

from __future__ import annotations

import json

from slipway.facts import state

PRINTED = {
    "ledger": [
        {"generation": 1, "result": "done"},
        {"generation": 2, "result": "done"},
        {"generation": 3, "result": "failed"},
    ],
    "lease": {"holder": "anna@desk"},
    "journal": [{"step": "switch"}],
    "secrets": {"jwt_secret": "12"},
    "handed": {"jwt_secret": "11"},
    "certificate": "-----BEGIN CERTIFICATE-----",
    "altered": 2,
    "now": 5.0,
}


def test_the_last_finished_release_is_the_committed_one() -> None:
    facts = state.parse(json.dumps(PRINTED))
    assert facts.committed_generation == 2
    assert facts.generations == (1, 2, 3)
    assert (facts.handed, facts.certificate) == (PRINTED["handed"], PRINTED["certificate"])
    assert (facts.altered, facts.secrets, facts.now) == (2, {"jwt_secret": "12"}, 5.0)


def test_a_new_environment_committed_nothing() -> None:
    assert state.StateFacts().committed is None
    assert state.StateFacts().committed_generation is None


def test_an_altered_line_without_its_keys_harms_no_reader() -> None:
    altered = PRINTED | {"ledger": [{"hash": "0"}, *PRINTED["ledger"]]}  # type: ignore[misc]
    assert state.parse(json.dumps(altered)).generations == (1, 2, 3)
