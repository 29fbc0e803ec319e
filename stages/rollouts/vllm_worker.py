"""What the workers of a vLLM server can do for a sampler elsewhere: say whose weights they hold, and take others.

In: the folder of a policy, on a file system that the server shares with the stage. Out: plain values, because vLLM
answers over HTTP with nothing else. Only vLLM loads this module, as its worker extension.
"""

from pathlib import Path
from typing import Any

NOT_OF_THE_MODEL = {"_name_or_path", "architectures", "dtype", "transformers_version", "use_cache"}
"""Entries of a configuration that change no forward pass, end and padding tokens (``*_token_id``) beside them."""


class PolicyWeights:
    """Methods that vLLM adds to its worker; what they remember ends with the server."""

    model_config: Any
    reload_weights: Any
    _policy: str | None = None
    _served: dict[str, Any] | None = None

    def policy(self) -> dict[str, Any]:
        """``version``: what ``load_policy`` was last told, None at first; ``context``: tokens, prompt included."""
        return {"version": self._policy, "context": self.model_config.max_model_len}

    def misfits(self, folder: str) -> list[str]:
        """What keeps the model in ``folder`` from being served here, a text each; empty: nothing does."""
        if not (Path(folder) / "config.json").is_file():
            return [f"the server does not see {folder}"]
        self._served = self._served or _model_of(self.model_config.model)
        wanted = _model_of(folder)
        names = sorted(self._served.keys() | wanted.keys())
        pairs = [(name, self._served.get(name), wanted.get(name)) for name in names]
        return [f"{name} is {here}, not {there}" for name, here, there in pairs if here != there]

    def load_policy(self, folder: str, version: str) -> None:
        """The weights in ``folder``, known as ``version`` from now on."""
        self._policy = None
        self.reload_weights(weights_path=folder)
        self._policy = version


def _model_of(folder: str) -> dict[str, Any]:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder).to_dict()
    return {
        name: value for name, value in config.items() if name not in NOT_OF_THE_MODEL and not name.endswith("_token_id")
    }
