"""Which system calls a jailed process may make, as a seccomp filter in classic BPF.

In: this machine's type. Out: the filter's bytes. Standard library only, like ``jail.py``.

Landlock says which files; it has no word for permissions, times and owners of files, for signals before
Linux 6.12, for processes, sockets or shared memory. Those calls are refused here with EPERM. Changing
the mode or the times of a file would reach files outside, but harmless programs do it to their own: such a
call reports success and does nothing. Numbers from 424 on (newer kernels, the same on all machines) are
refused unless listed, so that a new kernel adds nothing silently.

Kernel: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

import errno
import platform
import struct
from collections.abc import Iterable
from functools import lru_cache

# name: (x86_64, aarch64); -1 where the machine has no such call.
_DENIED = {
    "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281), "socket": (41, 198),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "memfd_create": (319, 279),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semctl": (66, 191),
    "semop": (65, 193), "semtimedop": (220, 192), "msgget": (68, 186), "msgctl": (71, 187), "msgsnd": (69, 189),
    "msgrcv": (70, 188), "mq_open": (240, 180), "mq_unlink": (241, 181), "truncate": (76, 45),
    "chown": (92, -1), "lchown": (94, -1), "fchown": (93, 55), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "inotify_init": (253, -1), "inotify_init1": (294, 26), "inotify_add_watch": (254, 27), "fanotify_init": (300, 262),
    "setpriority": (141, 140), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "ioprio_set": (251, 30),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "quotactl": (179, 60), "swapon": (167, 224), "swapoff": (168, 225),
    "reboot": (169, 142), "sethostname": (170, 161), "setdomainname": (171, 162), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "acct": (163, 89),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "personality": (135, 92), "syslog": (103, 116), "vhangup": (153, 58), "io_setup": (206, 0),
    "iopl": (172, -1), "ioperm": (173, -1), "modify_ldt": (154, -1), "uselib": (134, -1),
}  # fmt: skip
_PRETENDED = {
    "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "utime": (132, -1), "utimes": (235, -1), "futimesat": (261, -1), "utimensat": (280, 88),
}  # fmt: skip
_FIRST_NEW_CALL = 424
_NEW_CALLS_ALLOWED = (436, 437, 439, 441, 449)  # close_range openat2 faccessat2 epoll_pwait2 futex_waitv
_CLONE, _TGKILL, _PRLIMIT64 = (56, 220), (234, 131), (302, 261)
_FCNTL, _IOCTL, _PRCTL = (72, 25), (16, 29), (157, 167)
_CLONE_THREAD = 0x00010000
_SIGNALLING_FCNTL = (8, 10, 15, 1024)  # F_SETOWN F_SETSIG F_SETOWN_EX F_SETLEASE: have the kernel signal another
_SIGNALLING_IOCTL = (
    0x8901,
    0x8902,
    0x5412,
    0x541C,
)  # FIOSETOWN SIOCSPGRP, and typing into a terminal: TIOCSTI TIOCLINUX
_PR_SET_PDEATHSIG = 1  # a program must not outlive its server
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_OWN_PID = 0x5A5A5A5A

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _PRETEND = 0x7FFF0000, 0x80000000, 0x00050000
_REFUSE, _UNKNOWN = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
_Step = tuple[int, int, int, int]
"""One instruction: operation, steps to skip if true, if false, operand."""


def seccomp_filter(own_pid: int) -> bytes | None:
    """The filter for the process ``own_pid``; None on an unknown machine. Another machine's calls kill."""
    template = _template()
    return template and template.replace(struct.pack("=I", _OWN_PID), struct.pack("=I", own_pid))


@lru_cache(maxsize=1)
def _template() -> bytes | None:
    if platform.machine() not in _MACHINES:
        return None
    column, audit_arch = _MACHINES[platform.machine()]
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, audit_arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    if column == 0:
        steps += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]  # the x32 calls
    steps += _answer(_PRETEND, (numbers[column] for numbers in _PRETENDED.values()))
    steps += _answer(_ALLOW, _NEW_CALLS_ALLOWED)
    steps += [(_AT_LEAST, 0, 1, _FIRST_NEW_CALL), (_RETURN, 0, 0, _UNKNOWN)]
    steps += _answer(_REFUSE, (numbers[column] for numbers in _DENIED.values()))
    threads_only = [(_ANY_BIT, 0, 1, _CLONE_THREAD), (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    steps += _by_argument(_CLONE[column], 0, threads_only)
    steps += _by_argument(_TGKILL[column], 0, [*_answer(_ALLOW, (_OWN_PID,)), (_RETURN, 0, 0, _REFUSE)])
    steps += _by_argument(_PRLIMIT64[column], 0, [*_answer(_ALLOW, (0,)), (_RETURN, 0, 0, _REFUSE)])
    for call, place, refused in (
        (_FCNTL, 1, _SIGNALLING_FCNTL),
        (_IOCTL, 1, _SIGNALLING_IOCTL),
        (_PRCTL, 0, (_PR_SET_PDEATHSIG,)),
    ):
        steps += _by_argument(call[column], place, [*_answer(_REFUSE, refused), (_RETURN, 0, 0, _ALLOW)])
    return b"".join(struct.pack("=HBBI", *step) for step in [*steps, (_RETURN, 0, 0, _ALLOW)])


def _answer(action: int, values: Iterable[int]) -> list[_Step]:
    """``action`` if what is loaded is one of ``values`` (-1 is none)."""
    return [step for value in values if value >= 0 for step in ((_EQUAL, 0, 1, value), (_RETURN, 0, 0, action))]


def _by_argument(number: int, place: int, decide: list[_Step]) -> list[_Step]:
    """For the call ``number``: ``decide`` on the low half of the argument at ``place``; it ends in a return."""
    return [(_EQUAL, 0, 1 + len(decide), number), (_LOAD, 0, 0, 16 + 8 * place), *decide]
