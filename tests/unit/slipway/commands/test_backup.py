"""The containers that work on a repository no environment runs on: confined, and told no secret."""

from __future__ import annotations

from slipway.commands import backup

LABELS = {"a": "b"}
CONFINED = (
    *("--user", "0:0", "--read-only", "--tmpfs", "/tmp:size=256m,mode=1777"),
    *("--security-opt", "no-new-privileges:true", "--pids-limit", "256", "--memory", "1g"),
    *("--log-opt", "max-size=1m", "--cap-drop", "ALL"),
)
ONCE = ("docker", "run", "--rm", "--interactive", "--label", "a=b", *CONFINED)
READS = ("DAC_READ_SEARCH", "SETGID", "SETPCAP", "SETUID")
WRITES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID")
COPY = ("--mount", 'type=bind,"source=/mnt/a, b",target=/from,readonly')


def powers(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for name in names for word in ("--cap-add", name))


def test_a_folder_is_only_read_and_nobody_is_reached() -> None:
    assert backup.survey("image", LABELS, "/mnt/a, b", "") == (
        *(*ONCE, *powers(READS), "--network", "none", *COPY, "image"),
        *("survey", "--folder", "/from", "--secrets", "-"),
    )


def test_the_second_repository_is_reached_as_its_policy_says() -> None:
    assert backup.survey("image", LABELS, "", "{}") == (
        *(*ONCE, *powers(READS), "--env", "BACKUP_POLICY={}", "image"),
        *("survey", "--repository", "2", "--secrets", "-"),
    )
    assert backup.state("image", LABELS, "p1", "state", "", "{}") == (
        *(*ONCE, *powers(WRITES), "--env", "BACKUP_POLICY={}"),
        *("--volume", "state:/restore/state", "image"),
        *("state", "--point", "p1", "--to", "/restore/state"),
        *("--repository", "2", "--secrets", "-"),
    )


def test_a_copy_becomes_an_environment_s_own_and_its_state_comes_from_there() -> None:
    assert backup.adopt("image", LABELS, "/mnt/a, b", "own") == (
        *(*ONCE, *powers(WRITES), "--network", "none", *COPY),
        *("--volume", "own:/var/lib/slipway-backup", "image", "adopt", "--folder", "/from"),
    )
    assert backup.state("image", LABELS, "p1", "state", "own", "") == (
        *(*ONCE, *powers(WRITES), "--network", "none"),
        *("--volume", "own:/var/lib/slipway-backup:ro"),
        *("--volume", "state:/restore/state", "image"),
        *("state", "--point", "p1", "--to", "/restore/state"),
        *("--repository", "1", "--secrets", "-"),
    )


def test_a_volume_is_given_to_who_will_read_it() -> None:
    assert backup.own("image", "files", 10001, "0750") == (
        *("docker", "run", "--rm", "--network", "none", *CONFINED),
        *("--cap-add", "CHOWN", "--cap-add", "FOWNER"),
        *("--volume", "files:/volume", "--entrypoint", "install", "image"),
        *("--directory", "--owner=10001", "--group=10001", "--mode=0750", "/volume"),
    )
