"""One place starts processes: what they print comes back, and how they fail is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from slipway.errors import CommandFailed, SlipwayError
from slipway.run import AnswerLost, printed, run, run_attached, run_through


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-SE", "-c", code)


BOTH = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"


def test_both_streams_come_back_as_text() -> None:
    done = run(python(BOTH), check=False)
    assert (done.exit_code, done.output, done.errors) == (3, "out\n", "err\n")


def test_bytes_that_are_no_text_do_not_break_it() -> None:
    assert run(python(r"import sys; sys.stdout.buffer.write(b'\xff')")).output == "\ufffd"


@pytest.mark.parametrize("given", ["typed ü", "typed ü".encode()])
def test_input_is_handed_over(given: str | bytes) -> None:
    code = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    assert run(python(code), input=given).output == "typed ü"


def test_without_input_there_is_nothing_to_read() -> None:
    assert run(python("import sys; print(repr(sys.stdin.read()))")).output == "''\n"


def test_environment_and_folder_are_added(tmp_path: Path) -> None:
    code = "import os; print(os.environ['A'], 'PATH' in os.environ, os.getcwd())"
    assert run(python(code), env={"A": "1"}, cwd=tmp_path).output == f"1 True {tmp_path}\n"


def test_a_failure_carries_the_last_lines_of_its_errors() -> None:
    code = "import sys; [print(n, file=sys.stderr) for n in range(80)]; sys.exit(4)"
    with pytest.raises(CommandFailed) as failed:
        run(python(code))
    assert failed.value.process_exit_code == 4
    assert failed.value.last_lines == tuple(str(n) for n in range(30, 80))
    assert "ended with exit code 4\n    30\n" in str(failed.value)


def test_a_failure_that_printed_no_errors_shows_its_output() -> None:
    with pytest.raises(CommandFailed) as failed:
        run(python("print('why'); raise SystemExit(1)"))
    assert failed.value.last_lines == ("why",)


def test_a_long_command_line_is_cut_in_the_message() -> None:
    with pytest.raises(CommandFailed, match=r"`false 1 2 3 4 5 \.\.\.` ended with exit code 1"):
        run(("false", *"123456"))


@pytest.mark.parametrize("start", [run, run_attached])
def test_a_missing_program_is_named(start: object) -> None:
    assert callable(start)
    with pytest.raises(SlipwayError) as failed:
        start(("slipway-has-no-such-program",))
    assert str(failed.value) == (
        "`slipway-has-no-such-program` is not installed, or not on PATH\n  next: invoke host.check"
    )


def test_time_is_limited() -> None:
    with pytest.raises(SlipwayError, match=r"did not end within 0\.1 s"):
        run(python("import time; time.sleep(60)"), timeout=0.1)


def test_a_log_gets_both_streams_and_each_line_is_told_as_it_comes(tmp_path: Path) -> None:
    log = tmp_path / "new" / "build.log"
    told: list[str] = []
    code = BOTH.replace("print('err'", "sys.stdout.flush(); print('err'")
    with pytest.raises(CommandFailed) as failed:
        run(python(code), log=log, on_line=told.append, env={"A": "1"})
    assert log.read_text() == "out\nerr\n"
    assert told == ["out", "err"]
    assert failed.value.last_lines == ("out", "err")


def test_a_log_needs_no_listener(tmp_path: Path) -> None:
    done = run(python("print('out')"), log=tmp_path / "log")
    assert (done.output, done.errors) == ("out\n", "")


def test_an_attached_process_has_this_terminal_and_its_exit_code(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run_attached(python("import os; os.system('echo $A'); os._exit(5)"), env={"A": "1"}) == 5
    assert capfd.readouterr().out == "1\n"


def test_interrupting_an_attached_process_is_no_failure() -> None:
    code = "import os, signal; os.kill(os.getppid(), signal.SIGINT)"
    assert run_attached(python(code)) == 0


def test_what_one_prints_the_other_reads() -> None:
    told: list[str] = []
    source = python("import sys; sys.stdout.write('ab' * 70_000); print('half', file=sys.stderr)")
    sink = python("import sys; print(len(sys.stdin.read())); sys.exit(4)")
    first, second = run_through(source, sink, on_line=told.append)
    assert (first.exit_code, first.errors, told) == (0, "half\n", ["half"])
    assert (second.exit_code, second.output) == (4, "140000\n")


def test_who_prints_notices_that_nobody_reads() -> None:
    endless = python("import sys\nwhile True: sys.stdout.write('a' * 1000)")
    sink = python("import sys; print('no', file=sys.stderr); sys.exit(2)")
    first, second = run_through(endless, sink, on_line=lambda _: None)
    assert first.exit_code != 0
    assert (second.exit_code, second.errors) == (2, "no\n")


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(SlipwayError, match="is not installed"):
        run_through(("no-such-program",), python(""), on_line=lambda _: None)


def test_an_answer_that_did_not_come_is_asked_for_once_more(tmp_path: Path) -> None:
    code = f"from pathlib import Path; p = Path({str(tmp_path / 'asked')!r})\n"
    code += "print('answer') if p.exists() else p.touch()"
    assert printed(python(code), timeout=20) == "answer\n"


def test_an_answer_that_never_comes_is_no_empty_one() -> None:
    with pytest.raises(AnswerLost, match="ended without an answer"):
        printed(python("pass"), timeout=20)
