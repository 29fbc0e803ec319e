"""Which puzzles are held out: decided by a hash of the puzzle, before anything is generated.

In: a puzzle's key. Out: whether it belongs to the held-out split. The base model's corpus, the
training problems and all general data draw from the train split only, so no later mixing can leak.
"""

import hashlib

HELD_OUT_PERCENT = 20


def held_out(key: str) -> bool:
    """True for one key in five, the same on every machine and for every seed."""
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % 100 < HELD_OUT_PERCENT
