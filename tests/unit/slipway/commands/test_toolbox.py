"""The command lines of the toolbox, whole: it has no network and next to no powers."""

from __future__ import annotations

from slipway.commands import toolbox

CONFINED = (
    *("--network", "none", "--read-only", "--cap-drop", "ALL"),
    *("--cap-add", "CHOWN", "--cap-add", "DAC_OVERRIDE", "--cap-add", "FOWNER"),
    *("--security-opt", "no-new-privileges:true", "--pids-limit", "32", "--memory", "128m"),
    *("--cpus", "1", "--user", "0:0", "--log-opt", "max-size=1m"),
)


def test_reading_takes_one_short_container() -> None:
    assert toolbox.read("image", "slipway-dev-state") == (
        *("docker", "run", "--rm", "--interactive", *CONFINED),
        *("--volume", "slipway-dev-state:/state", "image", "read"),
    )


def test_a_release_holds_one_with_all_volumes() -> None:
    volumes = {"slipway-dev-state": "/state", "slipway-dev-secrets-edge": "/secrets/edge"}
    assert toolbox.hold("image", "name", volumes, {"slipway.environment": "dev"}, 60) == (
        *("docker", "run", "--rm", "--detach", "--init", "--name", "name", *CONFINED),
        *("--label", "slipway.environment=dev"),
        *("--volume", "slipway-dev-state:/state"),
        *("--volume", "slipway-dev-secrets-edge:/secrets/edge", "image", "hold", "60"),
    )


def test_a_held_one_takes_verbs_and_is_removed() -> None:
    assert toolbox.call("name", "commit") == (
        *("docker", "exec", "--interactive", "name", "slipway-toolbox", "commit"),
    )
    assert toolbox.remove("name") == ("docker", "rm", "--force", "name")
