"""What the kernel refuses a parser: the network, other processes, and files it does not need.

Two filters that hold for this process until it ends and need no privilege: seccomp for calls
(Linux' uapi/linux/seccomp.h, filter.h, audit.h) and Landlock for files (uapi/linux/landlock.h).
"""

from __future__ import annotations

import ctypes
import errno
import mimetypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
_FILTER = 2
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
_LOAD, _EQUAL, _AT_LEAST, _SOME_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_CLONE_THREAD = 0x00010000
_FIRST_ARGUMENT = 16  # where the low half of it stands in what a filter sees
_X32 = 0x40000000

# By machine: its number in an audit, then its numbers of the calls.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE = {"x86_64": 56, "aarch64": 220}
# With which `abort` and Python's own signals reach a thread of the same process.
_TGKILL = {"x86_64": 234, "aarch64": 131}
_CLONE3 = 435
# fmt: off
_CALLS = {
    "x86_64": {
        "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49,
        "listen": 50, "socketpair": 53, "fork": 57, "vfork": 58, "execve": 59, "kill": 62,
        "ptrace": 101, "rt_sigqueueinfo": 129, "mount": 165, "tkill": 200, "add_key": 248,
        "keyctl": 250, "unshare": 272, "accept4": 288, "rt_tgsigqueueinfo": 297,
        "perf_event_open": 298, "sendmmsg": 307, "setns": 308,
        "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321, "execveat": 322,
        "userfaultfd": 323,
    },
    "aarch64": {
        "mount": 40, "unshare": 97, "ptrace": 117, "kill": 129, "tkill": 130,
        "rt_sigqueueinfo": 138, "socket": 198, "socketpair": 199, "bind": 200, "listen": 201,
        "accept": 202, "connect": 203, "sendto": 206, "sendmsg": 211, "add_key": 217,
        "keyctl": 219, "execve": 221, "rt_tgsigqueueinfo": 240, "perf_event_open": 241,
        "accept4": 242, "setns": 268, "sendmmsg": 269, "process_vm_readv": 270,
        "process_vm_writev": 271, "bpf": 280, "execveat": 281, "userfaultfd": 282,
    },
}
# fmt: on
_PIDFD_AND_RINGS = (424, 425, 434, 438)  # pidfd_send_signal, io_uring_setup, pidfd_open, _getfd

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ_FILE, _READ_DIRECTORY = 1 << 2, 1 << 3
# The rights over files that each version of Landlock knows.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_NEWEST_FILE_RIGHTS = (1 << 16) - 1

_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", *mimetypes.knownfiles)
_DEVICES = ("/dev/null", "/dev/urandom", "/proc/self", "/proc/meminfo", "/proc/cpuinfo")


def confine(path: Path) -> list[str]:
    """Cut this process off from all but the file and the Python installation.

    Returns what this kernel or machine could not do, each in a few words; empty when all holds.
    """
    if sys.platform != "linux":
        return ["seccomp: not Linux", "landlock: not Linux"]
    library = ctypes.CDLL(None, use_errno=True)
    missing = []
    # Both filters need the promise that nothing started from here gains rights.
    library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    try:
        _limit_files(library, [path, *_readable()])
    except OSError as error:
        missing.append(f"landlock: {error.strerror}")
    try:
        _limit_calls(library, platform.machine())
    except OSError as error:
        missing.append(f"seccomp: {error.strerror}")
    return missing


def _readable() -> Iterable[Path]:
    places = {*sys.path, sys.prefix, sys.base_prefix, sys.exec_prefix, *_SYSTEM, *_DEVICES}
    return (path for place in places if (path := Path(place)).is_absolute())


def _limit_files(library: ctypes.CDLL, paths: Iterable[Path]) -> None:
    version = library.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    _check(version)
    rights = ctypes.c_uint64(_FILE_RIGHTS.get(version, _NEWEST_FILE_RIGHTS))
    rules = library.syscall(_LANDLOCK_CREATE, ctypes.byref(rights), ctypes.c_size_t(8), 0)
    _check(rules)
    try:
        for path in filter(Path.exists, paths):
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = _READ_FILE | (_READ_DIRECTORY if path.is_dir() else 0)
            rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, place), 12)
            try:
                _check(library.syscall(_LANDLOCK_ADD, rules, 1, rule, 0))
            finally:
                os.close(place)
        _check(library.syscall(_LANDLOCK_RESTRICT, rules, 0))
    finally:
        os.close(rules)


def _limit_calls(library: ctypes.CDLL, machine: str) -> None:
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no filter for {machine}")

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    code = call_filter(machine, os.getpid())
    program = Program(len(code) // 8, code)
    _check(library.prctl(PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0))


def call_filter(machine: str, pid: int) -> bytes:
    """Return the BPF program that refuses (EPERM) all calls above, and new processes.

    New threads are allowed, and signals to those of the process ``pid``. ``clone3`` does not exist
    for the parser: its flags cannot be seen from here, and the C library falls back to ``clone``.
    """
    calls = (*_CALLS[machine].values(), *_PIDFD_AND_RINGS)

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    steps = [
        step(_LOAD, 4),  # the architecture: other ones number their calls in another way
        step(_EQUAL, _ARCHITECTURES[machine], 1, 0),
        step(_RETURN, _KILL),
        step(_LOAD, 0),
        step(_AT_LEAST, _X32, 0, 1),
        step(_RETURN, _KILL),
        step(_EQUAL, _CLONE3, 0, 1),
        step(_RETURN, 0x00050000 | errno.ENOSYS),
    ]
    for call in calls:
        steps += [step(_EQUAL, call, 0, 1), step(_RETURN, _REFUSE)]
    steps += [
        step(_EQUAL, _TGKILL[machine], 0, 3),
        step(_LOAD, _FIRST_ARGUMENT),
        step(_EQUAL, pid, 4, 0),
        step(_RETURN, _REFUSE),
        step(_EQUAL, _CLONE[machine], 0, 2),
        step(_LOAD, _FIRST_ARGUMENT),
        step(_SOME_BITS, _CLONE_THREAD, 0, 1),
        step(_RETURN, _ALLOW),
        step(_RETURN, _REFUSE),
    ]
    return b"".join(steps)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
