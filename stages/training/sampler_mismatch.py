"""How far the sampler's log-probabilities are from the trainer's, and the weights that make up for it.

In: log-probabilities of the same sampled tokens under the same weights, from both. Out: ``mismatch/*`` metrics and
truncated importance weights. The two differ by kernels and precision, and by bugs: a sampler with stale weights shows
here first. The weights are those of TRL 1.16's ``token_truncate``, which it has for its own vLLM only; the paper does
not speak of it.
"""

import torch


def correction(gaps: torch.Tensor, cap: float) -> torch.Tensor:
    """min(exp(gap), cap), the weight of each token; 1 where sampler and trainer agree."""
    return gaps.exp().clamp(max=cap)


def mismatch_metrics(gaps: torch.Tensor, cap: float | None) -> dict[str, float]:
    """Means over the tokens of ``gaps`` = log-probability by the trainer minus that by the sampler; none, nothing.

    ``mismatch/kl`` is the k3 estimate of KL(sampler || trainer), mean of exp(gap) - 1 - gap; ``mismatch/capped``
    the share of tokens whose weight is cut off at ``cap``.
    """
    if not gaps.numel():
        return {}
    gaps = gaps.double()
    found = {
        "mismatch/mean": gaps.abs().mean(),
        "mismatch/max": gaps.abs().max(),
        "mismatch/kl": (gaps.expm1() - gaps).mean(),
    }
    if cap is not None:
        found["mismatch/capped"] = (gaps.exp() > cap).double().mean()
    return {name: float(value) for name, value in found.items()}
