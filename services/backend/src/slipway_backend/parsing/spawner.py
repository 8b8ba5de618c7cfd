"""The process that parsers come from: it has loaded them once, and forks one for each document.

Starting Python and importing a parser takes 0.2 s of processor, a fork 0.01 s
(docs/decisions/0021-forked-parsers.md). Run by `slipway_backend.parsing.sandbox` as
``python -m slipway_backend.parsing.spawner DESCRIPTOR``. The descriptor is one end of a pair of
sockets that keep messages apart. Each message is a request for one document, as JSON, and brings
two more sockets: for the answer, and for what the parser complains of. After the
parser's end the spawner adds END and its exit code to the answer. Whoever asked says by shutting
its side of that socket that it wants no answer any more: the parser is killed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from typing import Any

from slipway_backend.parsing import child

# Stands in no JSON.
END = b"\0"
MAX_REQUEST_BYTES = 64 * 1024
# What readers import only when they need it.
LIBRARIES = ("lxml.html", "mammoth", "markdown_it", "pptx", "pypdfium2", "python_calamine")
_STANDARD_INPUT, _STANDARD_OUTPUT, _STANDARD_ERROR = range(3)


class Spawner:
    """Forks parsers and tells how they ended, until nobody asks any more."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._poll = select.poll()
        self._poll.register(requests, select.POLLIN)
        # By the descriptor that tells of it: a parser's end, or that nobody wants its answer.
        self._ends: dict[int, tuple[int, int]] = {}
        self._unwanted: dict[int, int] = {}

    def run(self) -> None:
        """Serve requests until the other end of their socket is closed."""
        while True:
            told = {descriptor for descriptor, _ in self._poll.poll()}
            for descriptor in told:
                if descriptor in self._unwanted:
                    os.kill(self._unwanted.pop(descriptor), signal.SIGKILL)
                    self._poll.unregister(descriptor)
                elif descriptor in self._ends:
                    self._bury(descriptor)
            # Last, because it may be given the number of a descriptor that was closed above.
            if self._requests.fileno() in told:
                message, descriptors, *_ = socket.recv_fds(self._requests, MAX_REQUEST_BYTES, 2)
                if not message:
                    return
                self._fork(json.loads(message), *descriptors)

    def _fork(self, request: dict[str, Any], answer: int, complaints: int) -> None:
        spawner = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become_parser(request, spawner, answer, complaints)
        os.close(complaints)
        end = os.pidfd_open(pid)
        self._ends[end] = (pid, answer)
        self._unwanted[answer] = pid
        self._poll.register(end, select.POLLIN)
        self._poll.register(answer, select.POLLRDHUP)

    def _bury(self, end: int) -> None:
        pid, answer = self._ends.pop(end)
        self._poll.unregister(end)
        os.close(end)
        if self._unwanted.pop(answer, None):
            self._poll.unregister(answer)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError), socket.socket(fileno=answer) as stream:
            # The worker reads to the end of every answer, or is gone.
            stream.sendall(END + str(os.waitstatus_to_exitcode(status)).encode())


def _become_parser(request: dict[str, Any], spawner: int, answer: int, complaints: int) -> None:
    """Parse one document in this process, which has nothing open but its answer, and end."""
    code = 1
    try:
        child.end_with(spawner)
        os.dup2(answer, _STANDARD_OUTPUT)
        os.dup2(complaints, _STANDARD_ERROR)
        os.closerange(_STANDARD_ERROR + 1, os.sysconf("SC_OPEN_MAX"))
        child.parse(request)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> None:
    """Load what parses, then serve requests."""
    # The terminal's Ctrl-C is the worker's affair; this process ends with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child.end_with(os.getppid())
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        importlib.import_module("slipway_backend.parsing.readers")
        for library in LIBRARIES:
            importlib.import_module(library)
        # What is here now stays for ever: the parsers' collector would copy its pages.
        gc.collect()
        gc.freeze()
        Spawner(requests).run()


if __name__ == "__main__":
    main()
