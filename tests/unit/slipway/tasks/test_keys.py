"""What `invoke keys.new` promises."""

from __future__ import annotations

import pytest
from standin_world import World

from slipway.config import keys


def test_a_pair_is_made_and_its_public_half_printed(world: World) -> None:
    ended = world.invoke("keys.new")
    assert ended.exit_code == 0
    public = keys.public_path(world.layout, "release").read_text()
    assert public.strip() in ended.output
    assert "private key  .slipway/keys/release.key" in ended.output
    assert "PRIVATE" not in ended.output
    (key,) = keys.trusted(world.layout, "staging", ["release"])
    assert key.id in ended.output


def test_another_name_makes_another_pair(world: World) -> None:
    assert world.invoke("keys.new").exit_code == 0
    assert world.invoke("keys.new", "--name", "approver").exit_code == 0
    release, approver = keys.trusted(world.layout, "prod", ["release", "approver"])
    assert release.id != approver.id


def test_a_pair_that_is_there_is_kept(world: World) -> None:
    assert world.invoke("keys.new").exit_code == 0
    before = keys.private_path(world.layout, "release").read_bytes()
    ended = world.invoke("keys.new")
    assert ended.exit_code == 2
    assert "is there already, and a key is never overwritten" in ended.errors
    assert keys.private_path(world.layout, "release").read_bytes() == before


def test_a_passphrase_comes_from_the_variable(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(keys.PASSPHRASE_VARIABLE, "open sesame")
    assert world.invoke("keys.new").exit_code == 0
    assert keys.encrypted(keys.private_path(world.layout, "release").read_bytes())
