"""The one place that starts a process."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from slipway.errors import CommandFailed, SlipwayError

LAST_LINES = 50
GRACE_SECONDS = 5.0
PROC = Path("/proc")
#: What a program of somebody else's starts carries this variable, also in a session of its own.
MARK = "SLIPWAY_RUN"
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Completed:
    """A process that has ended: its exit code and what it printed, as text."""

    exit_code: int
    output: str
    errors: str


def run(
    argv: Sequence[str],
    *,
    input: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
    timeout: float | None = None,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run `argv` to its end and return what it printed.

    `env` is added to this process's environment; `timeout` is in seconds. With `log`, both
    streams go to that file as they come and to `on_line` line by line; such a process gets no
    input and has no time limit.

    Raises CommandFailed on a non-zero exit code unless `check` is false, and SlipwayError when
    the program does not exist or the time is up.
    """
    data = input.encode() if isinstance(input, str) else input
    environment = {**os.environ, **env} if env else None
    stdin = subprocess.DEVNULL if data is None else None
    try:
        if log is not None:
            exit_code, output = _logged(argv, log, environment, cwd, on_line)
            errors = ""
        else:
            done = subprocess.run(
                argv,
                input=data,
                stdin=stdin,
                capture_output=True,
                env=environment,
                cwd=cwd,
                timeout=timeout,
                check=False,
            )
            exit_code = done.returncode
            output, errors = _text(done.stdout), _text(done.stderr)
    except FileNotFoundError as error:
        raise _not_installed(argv) from error
    except subprocess.TimeoutExpired as error:
        raise SlipwayError(f"`{' '.join(argv[:6])}` did not end within {timeout:g} s") from error
    if check and exit_code != 0:
        said = (errors.strip() or output.strip()).splitlines()
        raise CommandFailed(argv, exit_code, said[-LAST_LINES:])
    return Completed(exit_code, output, errors)


class AnswerLost(SlipwayError):
    """A container ended well, and what it had to say did not come."""


def asked(question: Callable[[], Answer]) -> Answer:
    """The answer to a question to a container, put once more where it was lost on its way.

    Only for what may be done twice. A busy engine now and then loses the last words of a container
    that runs once: docs/decisions/0029-answers.md.
    """
    try:
        return question()
    except AnswerLost:
        return question()


def printed(argv: Sequence[str], *, input: str | None = None, timeout: float) -> str:
    """What a container that runs once and only reads prints. Raises as `run` does, and AnswerLost.

    It prints something whenever it ends well.
    """

    def question() -> str:
        output = run(argv, input=input, timeout=timeout).output
        if not output.strip():
            raise AnswerLost(f"`{' '.join(argv[:6])}` ended without an answer")
        return output

    return asked(question)


def run_into(argv: Sequence[str], path: Path, *, on_line: Callable[[str], None]) -> Completed:
    """Run `argv` to its end with its output in the new file `path`, its errors to `on_line`.

    The file is its owner's alone. Raises FileExistsError, and SlipwayError when the program does
    not exist.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    lines: list[str] = []
    with os.fdopen(descriptor, "wb") as output:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except FileNotFoundError as error:
            raise _not_installed(argv) from error
        with process:
            assert process.stderr is not None
            for line in process.stderr:
                lines.append(line)
                on_line(line.rstrip())
        output.flush()
        os.fsync(output.fileno())
    return Completed(process.returncode, "", "".join(lines))


def run_through(
    source: Sequence[str], sink: Sequence[str], *, on_line: Callable[[str], None]
) -> tuple[Completed, Completed]:
    """Run two programs, the output of `source` being the input of `sink`, to their ends.

    The errors of `source` go to `on_line` as they come; its output is nobody else's. Raises
    SlipwayError when a program does not exist.
    """
    lines: list[str] = []
    try:
        with (
            subprocess.Popen(
                source, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as first,
            subprocess.Popen(
                sink, stdin=first.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as second,
        ):
            assert first.stdout is not None and first.stderr is not None
            # The sink's alone, so that the source notices when that has ended.
            first.stdout.close()
            said = first.stderr

            def tell() -> None:
                for line in said:
                    lines.append(_text(line))
                    on_line(_text(line).rstrip())

            telling = threading.Thread(target=tell, daemon=True)
            telling.start()
            output, errors = second.communicate()
            telling.join()
    except FileNotFoundError as error:
        raise _not_installed(source) from error
    return (
        Completed(first.returncode, "", "".join(lines)),
        Completed(second.returncode, _text(output), _text(errors)),
    )


@dataclass(frozen=True)
class Told:
    """How a program of somebody else's ended, and whether it left its output held open."""

    exit_code: int
    left: bool


@dataclass(frozen=True)
class Background:
    """A process that runs beside this one, and the file that it writes to."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.process.poll() is not None

    def said(self) -> str:
        """All that it has printed so far, on both streams."""
        self.log.seek(0)
        return _text(self.log.read())


@contextlib.contextmanager
def background(argv: Sequence[str]) -> Iterator[Background]:
    """Run `argv` for as long as the block lasts; it is told to end after.

    Its standard input stays open for that time, and is closed by the kernel when this program is
    killed. A session of its own: an interruption at the terminal is for this program to act on.
    Raises SlipwayError when the program does not exist.
    """
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise _not_installed(argv) from error
        try:
            yield Background(process, log)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.terminate()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _not_installed(argv: Sequence[str]) -> SlipwayError:
    return SlipwayError(
        f"`{argv[0]}` is not installed, or not on PATH", next_command="invoke host.check"
    )


def run_told(
    argv: Sequence[str],
    *,
    input: str,
    env: Mapping[str, str],
    cwd: Path,
    seconds: float,
    on_line: Callable[[str], None],
) -> Told:
    """Run a program of somebody else's with `input`, give its lines to `on_line`.

    After `seconds` it is ended, with everything that it started. So is what holds its output after
    its end, which is not waited for. Raises SlipwayError when the time is up or it cannot be
    started.
    """
    mark = secrets.token_hex(8)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env, MARK: mark},
            cwd=cwd,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise SlipwayError(f"{argv[0]} cannot be started: {error.strerror}") from error
    threads = [
        threading.Thread(target=_feed, args=(process, input), daemon=True),
        threading.Thread(target=_tell, args=(process, on_line), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        exit_code = process.wait(seconds)
    except subprocess.TimeoutExpired as error:
        _end_session(process)
        end_marked(MARK, mark)
        raise SlipwayError(f"{argv[0]} did not end within {seconds:g} s, and was ended") from error
    finally:
        # What it left behind would hold its output open, and outlive the release.
        _end_session(process)
        left = _last(threads)
        if left:
            end_marked(MARK, mark)
    return Told(exit_code, left)


def end_marked(variable: str, value: str) -> None:
    """End every process that carries an environment variable with this value."""
    wanted = f"{variable}={value}".encode()
    for path in PROC.glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def _end_session(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last(threads: Sequence[threading.Thread]) -> bool:
    """Whether any of the threads is still at work when its grace is over."""
    for thread in threads:
        thread.join(GRACE_SECONDS)
    return any(thread.is_alive() for thread in threads)


def _feed(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    # It need not read what it is told.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(text)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _tell(process: subprocess.Popen[str], on_line: Callable[[str], None]) -> None:
    assert process.stdout is not None
    with process.stdout as stream:
        for line in stream:
            on_line(line.rstrip())


def run_attached(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
    """Run `argv` on this terminal (its streams are ours) and return its exit code."""
    environment = {**os.environ, **env} if env else None
    try:
        return subprocess.call(argv, env=environment)
    except FileNotFoundError as error:
        raise _not_installed(argv) from error
    except KeyboardInterrupt:
        return 0


def _logged(
    argv: Sequence[str],
    log: Path,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    on_line: Callable[[str], None] | None,
) -> tuple[int, str]:
    log.parent.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    with (
        log.open("w", encoding="utf-8") as stream,
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            stream.write(line)
            stream.flush()
            lines.append(line)
            if on_line is not None:
                on_line(line.rstrip())
    return process.returncode, "".join(lines)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
