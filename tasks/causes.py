"""What to do about a failure, told from its last lines.

In: the end of a log. Out: one sentence, or nothing where the lines say it themselves, as our own errors do.
"""

import re

LESS_MEMORY = "lower micro_batch_size or sampling.batch_prompts of the stage (they change memory, not results)"
KNOWN = {
    r"No space left on device|Disk quota exceeded": "free some disk (old results go with: dvc gc --workspace)",
    r"CUDA out of memory|torch\.OutOfMemoryError": f"{LESS_MEMORY}, or train with lora",
    r"exited with -9|exit code -9|MemoryError|DefaultCPUAllocator": "memory ran out, or somebody killed it (dmesg says "
    f"which): {LESS_MEMORY}, or end other programs",
    r"SystemExit: 143|exited with 143|exited with -15": "it was asked to stop and has saved: run again, it goes on",
    r"database is locked": "two programs write one database: make down, then make up",
    r"ModuleNotFoundError|ImportError": "the environment is not the project's: make setup",
    r"NCCL|CUDA error": "the GPUs or their driver failed: see nvidia-smi and dmesg",
    r"ConnectError|ConnectionError|Connection refused|LocalEntryNotFoundError": "check the network and what it should "
    "reach: make status for our servers, HF_HUB_OFFLINE and HF_TOKEN for the hub",
}
"""Pattern in the last lines -> remedy."""


def remedy(lines: str) -> str:
    """What to do about the first known cause in ``lines``; empty if there is none."""
    return next((advice for pattern, advice in KNOWN.items() if re.search(pattern, lines)), "")
