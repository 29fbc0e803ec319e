"""Block ``planning`` of params.yaml: the machine and the lengths that the plan reckons with.

In: the block. Out: ``Planning``. No stage reads it, so no result hangs on it.
"""

from pydantic import Field

from stages.config import StageConfig


class Planning(StageConfig):
    """A machine in a few numbers. GB is 10^9 bytes."""

    devices: int = Field(gt=0)
    """GPUs, or 1 for a CPU with its memory."""
    memory_gb: float = Field(gt=0)
    """Of one device, as PyTorch reports it."""
    spare_share: float = Field(ge=0, lt=1)
    """Share of the memory that the plan leaves to the CUDA context, temporary buffers and fragmentation."""
    peak_tflops: float = Field(gt=0)
    """10^12 floating-point operations a second of one device, dense, at the profile's precision: the data sheet's."""
    bandwidth_gb_s: float = Field(gt=0)
    """Of one device's memory: the data sheet's."""
    training_efficiency: float = Field(gt=0, le=1)
    """Share of the peak that training reaches (MFU)."""
    sampling_efficiency: float = Field(gt=0, le=1)
    """Share that sampling reaches of what bandwidth and peak allow; rows of unequal length are most of the rest."""
    length_share: float = Field(gt=0, le=1)
    """Mean length of completions, traces and prompts / the longest allowed. It decides the hours, not the memory."""
    disk_gb: float = Field(gt=0)
    """Free for artifacts and work folders."""
