"""Models from a user's own package (docs/custom.md)."""

from collections import Counter
from typing import Any

from torch import Tensor, nn

from cluster.config.models import Custom
from cluster.config.own import called, sizes
from cluster.errors import RecipeError
from cluster.models.layers import Beside


def build_custom(config: Custom, vocabulary_rows: int, outputs: int, beside: Beside, each_token: bool) -> nn.Module:
    """What the user's factory makes. Raises RecipeError if it cannot be found, fails, or makes what cannot be
    trained."""
    model = called("model.factory", config.factory, config.options, sizes(vocabulary_rows, outputs, *beside))
    if not isinstance(model, nn.Module):
        raise RecipeError(
            f"model.factory = {config.factory!r} gave {type(model).__name__}, not a torch.nn.Module (docs/custom.md)."
        )
    _refuse_shared(config.factory, model)
    model.register_forward_hook(_shape_checked(config.factory, outputs, each_token))
    return model


def _refuse_shared(factory: str, model: nn.Module) -> None:
    """Checkpoints are safetensors, which hold every tensor once (huggingface.co/docs/safetensors, "Shared tensors")."""
    times = Counter(value.data_ptr() for value in model.state_dict().values() if value.numel())
    shared = [name for name, value in model.state_dict().items() if value.numel() and times[value.data_ptr()] > 1]
    if shared:
        raise RecipeError(
            f"model.factory = {factory!r}: {' and '.join(shared)} share their memory, which checkpoints cannot hold. "
            "Give each a tensor of its own."
        )


def _shape_checked(factory: str, outputs: int, each_token: bool) -> Any:
    rule = "(documents, tokens, outputs)" if each_token else "(documents, outputs)"

    def check(module: nn.Module, given: tuple[Tensor, ...], found: Any) -> None:
        tokens, lengths, *_ = given
        wanted = (*tokens.shape, outputs) if each_token else (len(lengths), outputs)
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        if shape != wanted:
            raise RecipeError(
                f"model.factory = {factory!r}: its forward gave {shape}, not {rule} = {wanted}. The "
                "factory is told the number of outputs (docs/custom.md)."
            )

    return check
