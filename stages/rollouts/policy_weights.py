"""The weights a policy samples with, whether or not LoRA adapters are on it.

In: a model of transformers, PEFT's wrapper around one, or one with adapters in its layers (what TRL leaves behind of
the model it was given). Out: its weights under the names a checkpoint has, adapters added in; the model is not touched.
"""

from collections.abc import Iterator
from typing import Any

import torch

from stages.cannot_run import CannotRunError


def without_wrapper(model: Any) -> Any:
    """The model of transformers inside PEFT's wrapper, adapters still in its layers; any other model as it is."""
    return model.get_base_model() if _is_of_peft(model) else model


def _is_of_peft(module: Any) -> bool:
    """By name: importing PEFT costs a second, and who has adapters has imported it."""
    return type(module).__module__.partition(".")[0] == "peft"


def merged_weight(layer: Any) -> torch.Tensor:
    """The weight ``layer`` computes with: its own, unpacked if quantised, plus the change of its active adapters.

    Raises:
        CannotRunError: its adapters are of a kind that is more than an added matrix.
    """
    if not _is_of_peft(layer):
        return _own_weight(layer)
    from peft.tuners.lora import LoraLayer
    from peft.utils import ModulesToSaveWrapper

    if isinstance(layer, ModulesToSaveWrapper):
        return _own_weight(_layer_inside(layer))
    if not isinstance(layer, LoraLayer) or layer.lora_variant:
        raise CannotRunError(
            f"{type(layer).__name__} cannot be merged for sampling; plain LoRA can, or sampler: transformers"
        )
    weight = _own_weight(_layer_inside(layer))
    if layer.merged or layer.disable_adapters:
        return weight
    with torch.no_grad():
        for adapter in layer.active_adapters:
            if adapter in layer.lora_A or adapter in layer.lora_embedding_A:
                weight = weight + layer.get_delta_weight(adapter).to(weight.dtype)
    return weight


def _layer_inside(module: Any) -> Any:
    """The layer of torch in a module of PEFT: the one it wraps, or the copy it trains instead; any other as it is."""
    if not _is_of_peft(module):
        return module
    from peft.utils import ModulesToSaveWrapper

    if not isinstance(module, ModulesToSaveWrapper):
        return module.get_base_layer()
    return module.original_module if module.disable_adapters else module.modules_to_save[module.active_adapters[0]]


def _own_weight(layer: Any) -> torch.Tensor:
    """The weight of a layer of torch; one that bitsandbytes has packed is unpacked."""
    if type(layer.weight).__name__ != "Params4bit":  # by name: importing bitsandbytes takes seconds
        return layer.weight.detach()
    from peft.utils.integrations import dequantize_module_weight

    return dequantize_module_weight(layer).detach()


def named_weights(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and value of every weight, adapters merged; tied weights come under each of their names."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    adapted = ""  # the layer with adapters that the walk is in: its parts are the adapters
    for name, module in without_wrapper(model).named_modules():
        if adapted and name.startswith(adapted):
            continue
        adapted = f"{name}." if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper) else ""
        if adapted:
            yield f"{name}.weight", merged_weight(module)
        layer = _layer_inside(module) if adapted else module
        for kind, parameter in layer.named_parameters(recurse=False):
            if not (adapted and kind == "weight"):
                yield f"{name}.{kind}", _own_weight(layer) if kind == "weight" else parameter.detach()


def weights_state(model: Any) -> tuple[tuple[int, int], ...]:
    """What changes when a parameter does, adapters' included: how often it was written to, and a hash of its bits.

    Writing through ``.data`` is not counted by torch, and a hash alone misses some changes of many equal values.
    """
    return tuple(
        (parameter._version, int(torch.hash_tensor(parameter.detach()).view(torch.int64)))
        for parameter in model.parameters()
        if parameter.numel()
    )
