"""What language models share: what they give, and who may look at whom.

Shapes: B sequences, T tokens, D width, V rows of the vocabulary.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

INITIAL_DEVIATION = 0.02
"""Of weights at first: GPT-2 (github.com/openai/gpt-2, src/model.py) and BERT (arxiv.org/abs/1810.04805) begin so."""


class Spoken(NamedTuple):
    """What a language model gives: states, and what turns each into a score for every row of the vocabulary.

    They are multiplied where they are needed, and never all at once: scores for 16,384 tokens and 8,000 rows are half a
    gigabyte.
    """

    states_BTD: Tensor
    words_VD: Tensor
    bias_V: Tensor | None

    def scores(self) -> Tensor:
        """Scores (B, T, V), of which softmax makes probabilities."""
        return nn.functional.linear(self.states_BTD, self.words_VD, self.bias_V)


def same_document(documents_BT: Tensor) -> Tensor:
    """True (B, 1, T, T) where two places of a sequence belong to one document."""
    return (documents_BT[:, :, None] == documents_BT[:, None, :])[:, None]


def places(documents_BT: Tensor) -> Tensor:
    """The place of each token in its document, from 0 (B, T); where it begins in an earlier sequence, in what is
    here."""
    places_T = torch.arange(documents_BT.shape[1], device=documents_BT.device)
    begins_BT = torch.zeros_like(documents_BT, dtype=torch.bool)
    begins_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    starts_BT: Tensor = torch.where(begins_BT, places_T, 0).cummax(dim=1).values
    return places_T - starts_BT


def initialise(model: nn.Module, into_the_sum: tuple[str, ...] = (), layers: int = 1) -> None:
    """Normal weights of INITIAL_DEVIATION, biases zero. Those that are called as in `into_the_sum`, which add to what
    their layer has read, begin smaller by sqrt(2 layers), so that the sum over all layers does not grow (GPT-2:
    "Language Models are Unsupervised Multitask Learners", section 2.3)."""
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            continue
        smaller = math.sqrt(2 * layers) if name.endswith(into_the_sum) and into_the_sum else 1.0
        nn.init.normal_(parameter, std=INITIAL_DEVIATION / smaller)


def causal(tokens: int, device: torch.device) -> Tensor:
    """True (T, T) where a place may look: at itself and back."""
    return torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()
