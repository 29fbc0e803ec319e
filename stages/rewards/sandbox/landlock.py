"""Which files a jailed process may touch, as a landlock ruleset (Linux 5.13 or newer, no privileges needed).

In: readable and writable paths. Out: a descriptor that ``enter_jail`` puts into force. Standard library only.
Landlock has no rule for looking at names and sizes (stat): a program can tell that a file exists, not what is in it.
"""

import ctypes
import os
import struct

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_READ = 1 << 2 | 1 << 3  # read a file, list a directory
_EXECUTE, _WRITE_FILE, _IOCTL = 1 << 0, 1 << 1, 1 << 15
_OF_A_FILE = 1 << 1 | 1 << 2
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")

_libc = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    """The result of a raw system call; -1 with errno set where it failed."""
    return int(_libc.syscall(ctypes.c_long(number), *arguments))


def landlock_ruleset(readable: list[str], writable: list[str]) -> int | None:
    """A descriptor of the file rules, to be made once and used by every child; None without landlock.

    Raises:
        OSError: landlock is there and refuses a path.
    """
    abi = _call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if abi < 1:
        return None
    bits = 13 + (abi >= 2) + (abi >= 3) + (abi >= 5)  # refer, truncate, ioctl on devices came later
    everything = (1 << bits) - 1
    network = 3 if abi >= 4 else 0
    scoped = 3 if abi >= 6 else 0  # abstract unix sockets and signals stay inside the jail
    attributes = struct.pack("=QQQ", everything, network, scoped)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    ruleset = _call(_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if ruleset < 0:
        return None
    rules = [(path, _READ) for path in readable]
    rules += [(path, everything & ~_EXECUTE & ~_IOCTL) for path in writable]
    rules += [(path, _READ | _WRITE_FILE) for path in _DEVICES]
    for path, access in rules:
        if os.path.exists(path):
            _allow_beneath(ruleset, path, access if os.path.isdir(path) else access & _OF_A_FILE)
    return ruleset


def _allow_beneath(ruleset: int, path: str, access: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = struct.pack("=Qi", access, descriptor)
    if _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0)) != 0:
        raise OSError(ctypes.get_errno(), f"landlock refuses the rule for {path}")
    os.close(descriptor)


def restrict_files(ruleset: int | None) -> None:
    """Put the rules into force for this process, for good; nothing happens without landlock."""
    if ruleset is not None:
        _call(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
        os.close(ruleset)
