"""The hardened place: the fork server inside bubblewrap, on top of its own jail.

In: the server's command. Out: the same command in namespaces of its own: no network, no other processes, no
files but the interpreter, the system's libraries and these modules, all read-only, and a folder in memory.

An ordinary user gets a user namespace as well, without the right to make another. Root starts the server
without one, as root, because only then its programs can be a real ``nobody`` (``nobody.py``): in a namespace of
root's, user 0 remains the machine's root behind the mapping, and bubblewrap maps no second user.
"""

import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from stages.rewards.sandbox.outcome import SandboxUnavailableError

SCRATCH = "/tmp/r1-sandbox"
"""The folder for programs, inside."""
_MISSING = (
    "R1_SANDBOX=bubblewrap, but there is no bwrap here; install it (Debian, Ubuntu: apt-get install bubblewrap; "
    "Fedora: dnf install bubblewrap; Arch: pacman -S bubblewrap), or unset R1_SANDBOX to use the jail alone"
)
_NAMESPACES_OF_ROOT = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
_NAMESPACES_OF_USER = ["--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534"]
_CAPABILITIES_OF_ROOT = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_CHOWN"]
"""What it takes to become nobody; they are gone with that."""


def inside_bubblewrap(command: list[str]) -> list[str]:
    """``command``, an interpreter and what it runs, inside bubblewrap.

    Raises:
        SandboxUnavailableError: bubblewrap is not installed.
    """
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise SandboxUnavailableError(_MISSING)
    if os.getuid() == 0:
        rights = [*_NAMESPACES_OF_ROOT, "--cap-drop", "ALL", *_CAPABILITIES_OF_ROOT]
    else:
        rights = [*_NAMESPACES_OF_USER, "--cap-drop", "ALL", *_no_more_namespaces(bwrap)]
    return [bwrap, *rights, "--new-session", "--die-with-parent", "--hostname", "sandbox", *_files(), *command]


@lru_cache(maxsize=1)
def _no_more_namespaces(bwrap: str) -> tuple[str, ...]:
    """The option that forbids further user namespaces, where this bubblewrap (0.8 or newer) has it."""
    known = subprocess.run([bwrap, "--help"], capture_output=True, text=True, check=False)
    return ("--disable-userns",) if "--disable-userns" in known.stdout + known.stderr else ()


def _files() -> list[str]:
    """What exists inside."""
    code = str(Path(__file__).resolve().parents[2])
    options = ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", SCRATCH]  # the modules may lie in /tmp
    for path in dict.fromkeys(("/usr", sys.base_prefix, code)):
        options += ["--ro-bind", path, path]
    for path in ("/bin", "/lib", "/lib64", "/lib32"):
        if os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            options += ["--ro-bind", path, path]
    return [*options, "--chdir", "/"]
