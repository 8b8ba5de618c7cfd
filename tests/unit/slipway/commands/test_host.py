"""Each command that prepares a host, whole."""

from __future__ import annotations

from pathlib import Path

from slipway.commands import apt, engine, mmdebstrap
from slipway.config.mirror import Mirror

MIRROR = Mirror("http://mirror.test/debian", "http://mirror.test/security")


def test_packages_are_installed_without_recommendations_and_with_patience() -> None:
    assert apt.install(("docker.io/trixie", "iptables")) == (
        "apt-get",
        "install",
        "--yes",
        "--no-install-recommends",
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Acquire::Retries=5",
        "-o",
        "Dpkg::Options::=--force-confold",
        "docker.io/trixie",
        "iptables",
    )


def test_lists_are_fetched_with_patience() -> None:
    assert apt.update() == (
        "apt-get",
        "update",
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Acquire::Retries=5",
    )


def test_a_broken_off_installation_is_finished_by_dpkg_and_apt() -> None:
    assert apt.configure() == ("dpkg", "--configure", "-a", "--force-confold")
    assert apt.fix() == (
        "apt-get",
        "install",
        "--fix-broken",
        "--yes",
        "--no-install-recommends",
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Acquire::Retries=5",
        "-o",
        "Dpkg::Options::=--force-confold",
    )
    assert apt.audit() == ("dpkg", "--audit")


def test_the_second_suite_comes_with_its_security_fixes_and_is_taken_only_when_named() -> None:
    assert apt.sources(MIRROR, "trixie", signed_by="/keys.gpg") == (
        "Types: deb\nURIs: http://mirror.test/debian\nSuites: trixie trixie-updates\n"
        "Components: main\nSigned-By: /keys.gpg\n"
        "\n"
        "Types: deb\nURIs: http://mirror.test/security\nSuites: trixie-security\n"
        "Components: main\nSigned-By: /keys.gpg\n"
    )
    assert apt.preferences("trixie", 100) == (
        "Package: *\nPin: release n=trixie*\nPin-Priority: 100\n"
    )


def test_the_base_is_bootstrapped_from_the_hosts_own_mirror() -> None:
    assert mmdebstrap.bootstrap(
        "trixie",
        Path("/var/tmp/root.tar"),
        sources=MIRROR.lines("trixie"),
        keyring="/keys.gpg",
        settings=("path-exclude=/usr/share/man/*", "path-include=/usr/share/man/man1/*"),
    ) == (
        "mmdebstrap",
        "--variant=minbase",
        "--include=ca-certificates",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-include=/usr/share/man/man1/*",
        "--keyring=/keys.gpg",
        "trixie",
        "/var/tmp/root.tar",
        "deb http://mirror.test/debian trixie main",
        "deb http://mirror.test/debian trixie-updates main",
        "deb http://mirror.test/security trixie-security main",
    )


def test_without_a_known_mirror_mmdebstrap_uses_its_own() -> None:
    assert mmdebstrap.bootstrap("trixie", Path("root.tar"))[-2:] == ("trixie", "root.tar")


def test_the_registry_is_on_the_loopback_only_and_hardened() -> None:
    assert engine.run_registry() == (
        "docker",
        "run",
        "--detach",
        "--name=slipway-registry",
        "--restart=unless-stopped",
        "--publish=127.0.0.1:5000:5000",
        "--volume=slipway-registry:/var/lib/registry",
        "--user=10004:10004",
        "--init",
        "--read-only",
        "--tmpfs=/tmp:size=64m,mode=1777",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges:true",
        "--memory=256m",
        "--cpus=1",
        "--pids-limit=128",
        "--log-driver=json-file",
        "--log-opt=max-size=10m",
        "--log-opt=max-file=5",
        "--health-cmd=slipway-registry-health",
        "--health-interval=10s",
        "--health-timeout=3s",
        "--health-start-period=10s",
        "slipway/registry:local",
    )
    assert engine.remove_registry() == ("docker", "rm", "--force", "slipway-registry")


def test_the_engine_is_started_by_systemd_or_detached_with_its_own_file_of_numbers() -> None:
    assert engine.start_service() == ("systemctl", "enable", "--now", "docker.service")
    assert engine.start_detached(Path("/run/slipway/dockerd.pid"), Path("/log")) == (
        "setsid",
        "--fork",
        "sh",
        "-c",
        'exec dockerd --pidfile="$1" > "$2" 2>&1 < /dev/null',
        "dockerd",
        "/run/slipway/dockerd.pid",
        "/log",
    )


def test_an_image_is_pulled_tagged_imported_built_and_untagged() -> None:
    assert engine.pull("debian@sha256:0") == ("docker", "pull", "--quiet", "debian@sha256:0")
    assert engine.tag("a", "b") == ("docker", "tag", "a", "b")
    assert engine.untag("b") == ("docker", "image", "rm", "--no-prune", "b")
    assert engine.import_tree(Path("t.tar"), "b") == ("docker", "import", "t.tar", "b")
    assert engine.build("base", Path("docker-bake.hcl")) == (
        "docker",
        "buildx",
        "bake",
        "--progress=plain",
        "--file=docker-bake.hcl",
        "base",
    )
