"""Giving up root for good, in a process that goes on importing.

In: a process, perhaps root's, and the folders it imports from. Out: the same process as ``nobody``. Standard
library only; used by the fork server.
"""

import os
import sys

from stages.rewards.sandbox.jail import make_readable_to_itself

NOBODY = 65534


def become_nobody(library: list[str]) -> None:
    """Give up root, and keep reading ``library`` where its folders lie in a home that is root's alone.

    Such folders (an interpreter under /root/.pyenv) are opened while still root and imported from
    through their descriptors; what lies above them stays closed. Without root nothing happens.
    """
    if os.getuid() != 0:
        return
    opened = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in library if os.path.isdir(path)}
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    make_readable_to_itself()
    moved = {path: f"/proc/self/fd/{descriptor}" for path, descriptor in opened.items() if not os.access(path, os.R_OK)}
    sys.path[:] = [moved.get(path, path) for path in sys.path]
    for module in list(sys.modules.values()):
        folders = getattr(module, "__path__", None)
        if isinstance(folders, list):
            folders[:] = [_moved(folder, moved) for folder in folders]
    sys.path_importer_cache.clear()


def _moved(folder: str, moved: dict[str, str]) -> str:
    for old, new in moved.items():
        if folder == old or folder.startswith(old + "/"):
            return new + folder[len(old) :]
    return folder
