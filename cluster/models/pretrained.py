"""Models that transformers saved, with the last layer of the task: what its Auto classes make of them.

Rows of our vocabulary become the model's own ids, so that padding, marks and masks are what it learned. So a run can be
saved back in the model's own format, and gives the same logits there.

Shapes: B documents, T tokens, D width, V rows, C outputs.
"""

import importlib
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cluster.config.models import Pretrained
from cluster.config.pretrained import CAUSAL, MASKED, Kept, known, weight_files
from cluster.data.marks import mark_of
from cluster.errors import RecipeError
from cluster.models.language import Spoken, causal, places, same_document
from cluster.models.layers import inside


class PretrainedModel(nn.Module):
    """One of transformers' models for sequences, for tokens (`each_token`), for questions, or for language."""

    ids_V: Tensor
    own_V: Tensor

    def __init__(self, config: Pretrained, outputs: int, each_token: bool) -> None:
        super().__init__()
        self.kept = kept = known(config.kept)
        self.context = config.context
        self.model = head(kept, each_token).from_config(settings_of(kept, outputs))
        rows = kept.ids_of_rows
        self.register_buffer("ids_V", torch.tensor(rows), persistent=False)
        if kept.speaks:
            self._take_words(rows)

    def _take_words(self, rows: list[int]) -> None:
        """The last layer is left to `Spoken`; its weights stay under names of their own, each once."""
        last = self.model.get_output_embeddings()
        embedding = self.model.get_input_embeddings().weight
        place = next(name for name, module in self.named_modules() if module is last)
        self.set_submodule(place, nn.Identity())
        names = {id(parameter): name for name, parameter in self.named_parameters()}
        if last.weight is not embedding:
            self.words = last.weight
        if last.bias is not None and id(last.bias) not in names:
            self.bias = last.bias
        self.words_name = names[id(embedding)] if last.weight is embedding else "words"
        self.bias_name = "" if last.bias is None else names.get(id(last.bias), "bias")
        # An id with several rows is said by one of them alone: the mark, which ends documents, or else the last.
        own_row = {one: row for row, one in enumerate(rows)} | {rows[mark_of(len(rows))]: mark_of(len(rows))}
        own = [0.0 if own_row[one] == row else -torch.inf for row, one in enumerate(rows)]
        self.register_buffer("own_V", torch.tensor(own), persistent=False)

    def forward(self, tokens_BT: Tensor, lengths_B: Tensor, beside_BT: Tensor | None = None) -> Tensor | Spoken:
        """Outputs (B, C), or (B, T, C), of questions does an answer begin there, does it end there (B, T, 2), which
        takes token types, from 1; a language model takes the numbers of the tokens' documents, and gives Spoken."""
        how: dict[str, Any] = {"attention_mask": inside(lengths_B, tokens_BT.shape[1]).long()}
        if self.kept.speaks and beside_BT is not None:
            how = self._apart(how["attention_mask"].bool(), beside_BT)
        if self.kept.family in CAUSAL:
            how["use_cache"] = False
        if self.kept.pair and self.kept.typed and beside_BT is not None:
            how["token_type_ids"] = (beside_BT.long() - 1).clamp(min=0)  # padding is 0
        found = self.model(input_ids=F.embedding(tokens_BT, self.ids_V[:, None])[..., 0], **how)
        if self.kept.pair:
            return torch.stack([found.start_logits, found.end_logits], dim=-1)
        said: Tensor = found.logits
        if not self.kept.speaks:
            return said
        words_VD = F.embedding(self.ids_V, self.get_parameter(self.words_name))
        bias_V = self.own_V.to(words_VD.dtype)
        if self.bias_name:
            bias_V = bias_V + self.get_parameter(self.bias_name)[self.ids_V]
        return Spoken(said, words_VD, bias_V)

    def _apart(self, inside_BT: Tensor, documents_BT: Tensor) -> dict[str, Any]:
        """None of the documents of a sequence sees another; places begin anew with each."""
        seen_B1TT = same_document(documents_BT) & inside_BT[:, None, None]
        if self.kept.family in CAUSAL:
            seen_B1TT = seen_B1TT & causal(documents_BT.shape[1], documents_BT.device)
        how = {"attention_mask": seen_B1TT}
        places_BT = places(documents_BT)
        if self.kept.family == "roberta":  # its positions begin behind that of padding
            places_BT = places_BT + self.kept.special["pad"] + 1
        return how | {"position_ids": places_BT}


def settings_of(kept: Kept, outputs: int) -> Any:
    """transformers' settings of the model with so many outputs; the token that pads is named."""
    config = dict(kept.config) | {"pad_token_id": kept.special["pad"]}
    for name in ("model_type", "architectures", "id2label", "label2id", "num_labels", "torch_dtype", "dtype",
                 "problem_type", "transformers_version", "_name_or_path", "auto_map"):  # fmt: skip
        config.pop(name, None)
    settings = transformers().AutoConfig.for_model(kept.family, **config)
    settings.num_labels = 2 if kept.speaks else outputs
    settings._attn_implementation = "sdpa"
    return settings


def head(kept: Kept, each_token: bool) -> Any:
    """The Auto class that puts the task's last layer on the model."""
    library = transformers()
    if kept.speaks:
        return library.AutoModelForMaskedLM if kept.family in MASKED else library.AutoModelForCausalLM
    if kept.pair:
        return library.AutoModelForQuestionAnswering
    return library.AutoModelForTokenClassification if each_token else library.AutoModelForSequenceClassification


def transformers() -> Any:
    """The library, kept off the network and quiet. Raises RecipeError if it is not installed."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_OFFLINE"] = "1"
    library: Any
    try:
        library = importlib.import_module("transformers")
    except ImportError as error:
        raise RecipeError(
            f'model.kind = "pretrained" needs transformers ({error}): pip install "muster-train[hf]".'
        ) from error
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    return library


def take_pretrained(model: PretrainedModel, folder: Path, pickled: bool) -> list[str]:
    """Give a fresh model the folder's weights. Returns the names of those that begin anew: the last layer's.

    Raises RecipeError if the folder's weights are not those of its config.json.
    """
    files = weight_files(folder, pickled)
    each_token = "TokenClassification" in type(model.model).__name__
    settings = settings_of(model.kept, getattr(model.model.config, "num_labels", 2))
    try:
        theirs, about = head(model.kept, each_token).from_pretrained(
            str(folder),
            config=settings,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=not pickled or None if files[0].suffix == ".safetensors" else False,
            weights_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except Exception as error:  # each kind of damage raises a class of its own
        raise RecipeError(f"model.folder = {str(folder)!r}: its weights cannot be read ({error}).") from error
    base = theirs.base_model_prefix + "."
    anew = sorted({*about["missing_keys"], *(one[0] for one in about["mismatched_keys"])})
    wrong = [name for name in anew if name.startswith(base) and ".pooler." not in name]
    if wrong:
        raise RecipeError(
            f"model.folder = {str(folder)!r}: its weights are not those of its config.json; {len(wrong)} are missing "
            f"or of another size, such as {', '.join(wrong[:3])}."
        )
    found = theirs.state_dict(keep_vars=True)
    last = theirs.get_output_embeddings() if model.kept.speaks else None
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name in ("words", "bias") and last is not None:
                value.copy_(getattr(last, "weight" if name == "words" else "bias"))
            elif name.removeprefix("model.") not in anew:
                value.copy_(found[name.removeprefix("model.")])
    return anew


def saved(model: PretrainedModel) -> Any:
    """A model of transformers' own with the same weights, to be saved in its format."""
    each_token = "TokenClassification" in type(model.model).__name__
    whole = head(model.kept, each_token).from_config(settings_of(model.kept, model.model.config.num_labels))
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in whole.named_parameters():
            if f"model.{name}" in own:
                value.copy_(own[f"model.{name}"])
        last = whole.get_output_embeddings() if model.kept.speaks else None
        for part, name in (("weight", "words"), ("bias", "bias")):
            if last is not None and name in own:
                getattr(last, part).copy_(own[name])
    return whole.eval()
