"""The jail of a forked child: what a model's program may touch.

In: the process that calls ``enter_jail`` (a fresh child, one thread). Out: the same process, for good
without other files than the readable ones and its scratch directory, without new processes, sockets,
signals to others, or more memory, time and descriptors than the limits. Linux only, no privileges
needed: landlock (kernel >= 5.13) for files, seccomp for system calls, rlimits for amounts, all
through ctypes. Standard library only, because the fork server imports it under ``python -S``.

A system call is denied by number; numbers from 424 on (newer kernels, the same on all machines) are
denied unless listed, so that a new kernel adds nothing silently.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
from functools import lru_cache

MEBIBYTE = 1 << 20
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_LANDLOCK_CREATE, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT = 444, 445, 446
_READ = 1 << 2 | 1 << 3  # read a file, list a directory
_EXECUTE, _WRITE_FILE, _IOCTL = 1 << 0, 1 << 1, 1 << 15
_NEW_CALLS_ALLOWED = (436, 437, 439, 441, 449, 452)  # close_range openat2 faccessat2 epoll_pwait2 futex_waitv fchmodat2

# name: (x86_64, aarch64); -1 where the machine has no such call. Kernel: arch/x86/entry/syscalls/syscall_64.tbl
# and include/uapi/asm-generic/unistd.h.
_DENIED = {
    "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281), "socket": (41, 198),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "memfd_create": (319, 279),
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    "setpriority": (141, 140), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "ioprio_set": (251, 30),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "quotactl": (179, 60), "swapon": (167, 224), "swapoff": (168, 225),
    "reboot": (169, 142), "sethostname": (170, 161), "setdomainname": (171, 162), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "acct": (163, 89),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "personality": (135, 92), "fanotify_init": (300, 262), "syslog": (103, 116), "vhangup": (153, 58),
    "iopl": (172, -1), "ioperm": (173, -1),
}  # fmt: skip
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_CLONE, _TGKILL, _PRLIMIT64 = (56, 220), (234, 131), (302, 261)
_CLONE_THREAD = 0x00010000
_OWN_PID = 0x5A5A5A5A

_libc = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    """The result of a raw system call; -1 with errno set where it failed."""
    return int(_libc.syscall(ctypes.c_long(number), *arguments))


def forbid_new_privileges() -> None:
    """From here on no set-uid program gives this process or its children anything; landlock needs it."""
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _seccomp_program()  # built once here, so that no child has to


def make_readable_to_itself() -> None:
    """After a change of user the kernel hides /proc/self from the process itself; take that back."""
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def landlock_ruleset(readable: list[str], writable: list[str]) -> int | None:
    """A descriptor of the file rules, to be made once and used by every child; None without landlock."""
    abi = _call(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if abi < 1:
        return None
    bits = 13 + (abi >= 2) + (abi >= 3) + (abi >= 5)  # refer, truncate, ioctl on devices came later
    everything = (1 << bits) - 1
    network = 3 if abi >= 4 else 0
    scoped = 3 if abi >= 6 else 0  # abstract unix sockets and signals stay inside the jail
    attributes = struct.pack("=QQQ", everything, network, scoped)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    ruleset = _call(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if ruleset < 0:
        return None
    rules = [(path, _READ) for path in readable]
    rules += [(path, everything & ~_EXECUTE & ~_IOCTL) for path in writable]
    rules += [(path, _READ | _WRITE_FILE) for path in ("/dev/null", "/dev/zero", "/dev/urandom")]
    for path, access in rules:
        _allow_beneath(ruleset, path, access)
    return ruleset


def _allow_beneath(ruleset: int, path: str, access: int) -> None:
    if not os.path.exists(path):
        return
    if not os.path.isdir(path):
        access &= 1 << 1 | 1 << 2  # a file's rule may only name reading and writing
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = struct.pack("=Qi", access, descriptor)
    if _call(_LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0)) != 0:
        raise OSError(ctypes.get_errno(), f"landlock refuses the rule for {path}")
    os.close(descriptor)


@lru_cache(maxsize=1)
def _seccomp_program() -> bytes | None:
    """The filter in classic BPF, with _OWN_PID where the process's number belongs; None on an unknown machine.

    Another machine's calls kill, denied calls fail with EPERM, unknown new ones with ENOSYS.
    """
    if platform.machine() not in _MACHINES:
        return None
    column, audit_arch = _MACHINES[platform.machine()]
    load, jump_equal, jump_greater, jump_set, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, unknown = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
    steps = [(load, 0, 0, 4), (jump_equal, 1, 0, audit_arch), (give, 0, 0, 0x80000000), (load, 0, 0, 0)]
    if column == 0:
        steps += [(jump_greater, 0, 1, 0x40000000), (give, 0, 0, 0x80000000)]  # the x32 calls
    new = [(jump_equal, 0, 1, number) for number in _NEW_CALLS_ALLOWED]
    steps += [(jump_greater, 0, 2 * len(new) + 1, 424)]
    for step in new:
        steps += [step, (give, 0, 0, allow)]
    steps += [(give, 0, 0, unknown)]
    for number in (numbers[column] for numbers in _DENIED.values() if numbers[column] >= 0):
        steps += [(jump_equal, 0, 1, number), (give, 0, 0, refuse)]
    first_argument = (load, 0, 0, 16)
    steps += [(jump_equal, 0, 4, _CLONE[column]), first_argument, (jump_set, 0, 1, _CLONE_THREAD)]
    steps += [(give, 0, 0, allow), (give, 0, 0, refuse)]
    steps += [(jump_equal, 0, 4, _TGKILL[column]), first_argument, (jump_equal, 0, 1, _OWN_PID)]
    steps += [(give, 0, 0, allow), (give, 0, 0, refuse)]
    steps += [(jump_equal, 0, 4, _PRLIMIT64[column]), first_argument, (jump_equal, 0, 1, 0)]
    steps += [(give, 0, 0, allow), (give, 0, 0, refuse), (give, 0, 0, allow)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def set_limits(cpu_seconds: int, memory_bytes: int, file_bytes: int) -> None:
    """Hard limits of this process; a program can lower them but not raise them again."""
    for what, amount in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_NPROC, 128),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(what, (allowed, allowed))


def enter_jail(ruleset: int | None) -> None:
    """Lock this process in: it dies with its parent, sees only the ruleset's files, makes no processes.

    Without landlock or on another machine type the corresponding part is missing; ``sandbox_level``
    finds that out by trying, not by asking.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
    if ruleset is not None:
        _call(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
        os.close(ruleset)
    template = _seccomp_program()
    if template is None:
        return
    program = template.replace(struct.pack("=I", _OWN_PID), struct.pack("=I", os.getpid()))
    memory = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(memory))
    _libc.prctl(_PR_SET_SECCOMP, 2, header, 0, 0)
