"""What a run's weights begin with, other than chance: those of another run, of a pretrained model, or
pretrained word vectors."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cluster.config.models import Embeds, Model, Pretrained, SharesEmbeds
from cluster.data.manifest import Manifest
from cluster.errors import RunError
from cluster.models.build import FROZEN_ROWS, LAST_LAYER
from cluster.models.layers import word_embedding
from cluster.models.pretrained import PretrainedModel, take_pretrained
from cluster.runs import read_json
from cluster.training.checkpoint import verify_folder
from cluster.training.parallel import World


def begin(model: nn.Module, config: Model, manifest: Manifest, world: World, note: Callable[[str], None]) -> None:
    """Give a fresh model the weights its recipe names. `note` takes what a person should know.

    Vectors and pretrained models are read by rank 0 alone; the others get them when the model is wrapped. Raises
    RunError, DataError, RecipeError.
    """
    if config.start_from:
        start_from(model, Path(config.start_from), manifest, note)
    if isinstance(config, Embeds) and config.vectors and world.rank == 0:
        _take_vectors(model, config, manifest.folder, note)
    if isinstance(config, Pretrained) and world.rank == 0:
        _take_folder(model, config, note)


def _take_folder(model: nn.Module, config: Pretrained, note: Callable[[str], None]) -> None:
    from cluster.text.tokens.model import folder_of  # as for vectors

    assert isinstance(model, PretrainedModel)
    folder = folder_of(config)
    anew = take_pretrained(model, folder, config.pickled)
    note(f"begins with the weights of {folder}" + (f"; anew: {', '.join(anew[:8])}" if anew else ""))


def start_from(model: nn.Module, run: Path, manifest: Manifest, note: Callable[[str], None]) -> None:
    """Every tensor that a finished run's model has by the same name and shape; the last layer only if the labels are
    the same, too. Raises RunError if nothing fits, or nothing but the last layer."""
    folder = run / "model"
    verify_folder(folder)
    labels = read_json(folder / "model.json").get("labels")
    theirs = load_file(folder / "weights.safetensors")
    own = model.state_dict()
    last_layer = [name for name in own if name.startswith(LAST_LAYER)]
    names = [name for name, value in own.items() if name in theirs and theirs[name].shape == value.shape]
    if labels != list(manifest.labels):
        if not last_layer:
            raise RunError(
                f"model.start_from = {str(run)!r}: it has other labels, so the last layer must begin anew, but this "
                f"recipe's model has none called {LAST_LAYER[:-1]!r} (docs/custom.md)."
            )
        names = [name for name in names if name not in last_layer]
    if not names or (set(names) <= set(last_layer) < set(own)):
        raise RunError(
            f"model.start_from = {str(run)!r}: no tensor below the last layer of its model has the name and shape of "
            f"one of this recipe's. Use the model settings of {run / 'recipe.toml'}, or begin anew."
        )
    with torch.no_grad():
        for name in names:
            own[name].copy_(theirs[name])
    anew = [name for name in own if name not in names]
    note(
        f"begins with {len(names)} of {len(own)} tensors of {run}"
        + (f"; anew: {', '.join(anew[:8])}" + (" ..." if len(anew) > 8 else "") if anew else "")
    )


def _take_vectors(model: nn.Module, config: Embeds, prepared: Path, note: Callable[[str], None]) -> None:
    # Of all that a rank does, this alone needs the text rooms.
    from cluster.text.tokens.pipeline import Encoder
    from cluster.text.tokens.vectors import load_vectors

    embedding, path = word_embedding(model), Path(config.vectors)
    encoder = Encoder.load(prepared)
    rows, vectors = load_vectors(path, encoder.words, embedding.weight.shape[1])
    places, told = torch.from_numpy(rows), ""
    with torch.no_grad():
        taken = torch.from_numpy(vectors).to(embedding.weight)
        if isinstance(config, SharesEmbeds):
            factor = _to_own_length(embedding.weight[places], taken)
            taken, told = taken * factor, f", times {factor:.3g}"
        embedding.weight[places] = taken
        if FROZEN_ROWS in dict(embedding.named_buffers()):
            embedding.get_buffer(FROZEN_ROWS)[places] = 1
    note(f"{len(rows):,} of {len(encoder.words):,} words begin with a vector of {path}{told}")


def _to_own_length(own: Tensor, taken: Tensor) -> float:
    """What makes vectors as long, all together, as those that a model has begun with.

    Where they are the output, too, scores are products with them. A gpt of two layers, 64 wide, 8,240 rows, was at a
    loss of 37.7 at first with vectors of deviation 0.86, and of 9.05 with the same ones shortened to its own 0.02.
    """
    return float(own.norm() / taken.norm().clamp(min=1e-12))  # a file may have zeros alone


def keep_frozen_rows(model: nn.Module) -> None:
    """Give the word vectors that `model.freeze_vectors` holds no gradient, so that the optimizer leaves them alone."""
    for module in model.modules():
        frozen = dict(module.named_buffers(recurse=False)).get(FROZEN_ROWS)
        if frozen is not None:
            module.get_parameter("weight").register_hook(_without(frozen))  # type: ignore[no-untyped-call]


def _without(frozen: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda gradient: gradient.masked_fill(frozen.bool()[:, None], 0.0)
