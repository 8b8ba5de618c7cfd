"""What a person sees while something is done, and what is asked of them."""

from __future__ import annotations

import io
import re

import pytest

from slipway import console
from slipway.errors import Refused

Capture = pytest.CaptureFixture[str]


def lines(capsys: Capture) -> list[str]:
    return re.sub(r" +\d+\.\d s", " N s", capsys.readouterr().out).splitlines()


def test_a_phase_is_one_line_with_its_seconds(capsys: Capture) -> None:
    timings: dict[str, float] = {}
    with console.phase("build", timings):
        pass
    assert lines(capsys) == ["build ".ljust(console.PHASE_WIDTH, ".") + " N s"]
    assert timings["build"] >= 0


def test_progress_stands_below_the_name(capsys: Capture) -> None:
    with console.phase("build") as progress:
        progress("one")
        progress("two")
    title = "build ".ljust(console.PHASE_WIDTH, ".")
    assert lines(capsys) == [f"{title} ", "    one", "    two", f"{title} N s"]


@pytest.mark.parametrize("steps", [[], ["one"]])
def test_a_phase_that_fails_says_so_and_counts_no_seconds(
    capsys: Capture, steps: list[str]
) -> None:
    timings: dict[str, float] = {}

    def interrupted() -> None:
        with console.phase("build", timings) as progress:
            for step in steps:
                progress(step)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    shown = lines(capsys)
    assert shown[-1].endswith("... failed")
    assert len(shown) == 1 + 2 * len(steps)
    assert timings == {}


def test_warnings_go_to_the_error_stream(capsys: Capture) -> None:
    console.warn("mind this")
    console.say("done")
    console.say()
    assert capsys.readouterr() == ("done\n\n", "warning: mind this\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["y", "Y", "yes", " YES "])
def test_a_yes_goes_on(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    console.confirm("Delete?", yes=False, flag="--yes")


@pytest.mark.parametrize("answer", ["", "n", "no", "yess", "ye s"])
def test_anything_else_is_a_no(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    with pytest.raises(Refused, match="Nothing was changed"):
        console.confirm("Delete?", yes=False, flag="--yes")


def test_the_flag_answers_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    console.confirm("Delete?", yes=True, flag="--yes")


def test_without_a_terminal_the_flag_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(Refused, match="no terminal to ask on: give --yes to say yes"):
        console.confirm("Delete?", yes=False, flag="--yes")
