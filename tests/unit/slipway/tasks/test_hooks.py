"""A site's own programs agree before a release, and hear of it after."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from standin_world import World

from slipway import run

BACKEND = "services/backend/app.py"


@pytest.fixture
def changed(released: World) -> World:
    """A world with something to release."""
    released.change(BACKEND)
    return released


def hook(world: World, name: str, script: str, *, mode: int = 0o755) -> Path:
    path = world.layout.hooks("dev") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(mode)
    return path


def eventually_gone(pid: Path) -> None:
    """Hold the process of that number to have ended."""
    deadline = time.monotonic() + 5
    while Path("/proc", pid.read_text().strip()).exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TestBefore:
    def test_it_reads_the_plan_and_knows_what_is_released(
        self, changed: World, tmp_path: Path
    ) -> None:
        script = (
            f'cat > {tmp_path}/plan.json; env | grep ^SLIPWAY_ > {tmp_path}/env; echo "checked"'
        )
        hook(changed, "before-release", script)
        ended = changed.release()
        assert (ended.exit_code, ended.errors) == (0, "")
        plan = json.loads((tmp_path / "plan.json").read_text())
        assert (plan["environment"], plan["generation"], plan["hooks"]) == (
            *("dev", 2),
            ["before-release"],
        )
        told = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
        assert told["SLIPWAY_ENVIRONMENT"] == "dev"
        assert told["SLIPWAY_PLAN"] == plan["hash"] == changed.ledger()[-1]["plan"]
        assert (told["SLIPWAY_GENERATION"], told["SLIPWAY_PREVIOUS_GENERATION"]) == ("2", "1")
        assert told["SLIPWAY_VERSION"] == plan["version"]
        assert "  before-release | checked" in ended.output

    def test_one_that_fails_refuses_before_anything_is_touched(self, changed: World) -> None:
        hook(changed, "before-release", 'echo "the freeze lasts until Monday"; exit 3')
        ended = changed.release()
        assert ended.exit_code == 2
        assert "before-release | the freeze lasts until Monday" in ended.output
        assert "environments/dev.hooks/before-release refused the release (exit code 3)" in (
            ended.errors
        )
        assert changed.standin.changes == []

    def test_one_that_does_not_end_is_ended_with_what_it_started(self, changed: World) -> None:
        changed.configure(hook_seconds=1)
        hook(changed, "before-release", "sleep 1000 & sleep 1000")
        ended = changed.release()
        assert ended.exit_code == 2
        assert "did not end within 1 s, and was ended" in ended.errors
        assert changed.standin.changes == []

    def test_what_it_started_in_another_session_is_ended_too(
        self, changed: World, tmp_path: Path
    ) -> None:
        changed.configure(hook_seconds=1)
        started = f"setsid sleep 60 > {tmp_path}/out 2>&1 & echo $! > {tmp_path}/pid"
        hook(changed, "before-release", f"{started}; sleep 1000")
        assert changed.release().exit_code == 2
        eventually_gone(tmp_path / "pid")

    @pytest.mark.parametrize("start", ["", "env --unset SLIPWAY_RUN "])
    def test_what_holds_its_output_after_it_holds_up_nothing(
        self, changed: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
    ) -> None:
        """As the shared connection of an ssh does."""
        monkeypatch.setattr(run, "GRACE_SECONDS", 0.2)
        started = f"{start}setsid sleep 20 & echo $! > {tmp_path}/pid"
        hook(changed, "before-release", f"{started}; sleep 0.5")
        began = time.monotonic()
        ended = changed.release()
        assert time.monotonic() - began < 15
        assert ended.exit_code == 0
        assert "dev.hooks/before-release left something running that held its output" in (
            ended.errors
        )
        if not start:
            eventually_gone(tmp_path / "pid")

    def test_one_that_cannot_be_started_refuses(self, changed: World) -> None:
        path = hook(changed, "before-release", "")
        path.write_text("#!/nowhere/sh\n")
        ended = changed.release()
        assert ended.exit_code == 2
        assert "cannot be started: No such file or directory" in ended.errors

    def test_one_that_nobody_may_execute_is_named(self, changed: World) -> None:
        hook(changed, "before-release", "exit 1", mode=0o644)
        for words in (("--plan",), ()):
            ended = changed.release(*words)
            assert ended.exit_code == 2
            assert "dev.hooks/before-release: not executable" in ended.errors
            assert "next: chmod +x infra/compose/environments/dev.hooks/" in ended.errors

    def test_a_name_that_is_no_hooks_name_is_named(self, changed: World) -> None:
        hook(changed, "before-relaese", "exit 1")
        hook(changed, "README.md", "", mode=0o644)
        ended = changed.release()
        assert ended.exit_code == 2
        assert "dev.hooks/before-relaese: no hook has this name (there are: before-release" in (
            ended.errors
        )

    def test_a_plan_names_the_hooks_and_runs_none(self, changed: World, tmp_path: Path) -> None:
        hook(changed, "before-release", f"touch {tmp_path}/ran")
        ended = changed.release("--plan")
        assert "hooks:\n    before-release" in ended.output
        assert not (tmp_path / "ran").exists()

    def test_where_nothing_is_to_be_done_none_is_run(self, released: World, tmp_path: Path) -> None:
        hook(released, "before-release", f"touch {tmp_path}/ran")
        assert "Nothing to do" in released.release().output
        assert not (tmp_path / "ran").exists()

    def test_another_hook_is_another_plan(self, changed: World) -> None:
        hook(changed, "before-release", "exit 0")
        agreed = json.loads(changed.release("--plan", "--json").output)["hash"]
        hook(changed, "before-release", "exit 0 # really")
        ended = changed.release("--expect", agreed)
        assert ended.exit_code == 2
        assert "in a file that a hook or a setting is made of" in ended.errors


class TestAfter:
    def test_it_hears_how_it_ended(self, changed: World, tmp_path: Path) -> None:
        hook(changed, "after-release", f'echo "$SLIPWAY_RESULT $SLIPWAY_REASON" > {tmp_path}/told')
        assert changed.release().exit_code == 0
        assert (tmp_path / "told").read_text() == "done \n"
        assert changed.ledger()[-1]["hooks"]["after-release"]["result"] == "done"

    def test_it_hears_of_a_failure_too(self, changed: World, tmp_path: Path) -> None:
        changed.standin.faults.edge_refuses[2] = "no backend answers"
        hook(changed, "after-release", f'echo "$SLIPWAY_RESULT $SLIPWAY_REASON" > {tmp_path}/told')
        assert changed.release().exit_code == 1
        assert (tmp_path / "told").read_text().startswith("failed The edge refused to offer")

    def test_one_that_fails_is_a_warning_and_in_the_ledger(self, changed: World) -> None:
        hook(changed, "after-release", "exit 4")
        ended = changed.release()
        assert ended.exit_code == 0
        assert "dev.hooks/after-release: ended with exit code 4" in ended.errors
        line = changed.ledger()[-1]
        assert (line["result"], line["hooks"]["after-release"]["result"]) == ("done", "failed")
