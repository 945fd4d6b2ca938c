"""What several models share: embeddings of tokens, tags and affixes, what stands for a document, reading backwards.

Nothing here depends on how far a row is padded: a document has the same values alone and in any company, and the host
never waits for the lengths.

Shapes: B documents, T tokens, E embedding width, H width of a state.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from cluster.config.models import ReadsSequence
from cluster.plan.memory import AFFIXES

# Deviation of the first word vectors. With torch's 1.0 the chance values of rare words outshout what is learned: an
# LSTM on held-out tenths of the movie sentences came to 0.72 with 1.0 and to 0.77 with 0.1.
EMBEDDING_DEVIATION = 0.1


class Beside(NamedTuple):
    """What a model reads of each token beside the token itself."""

    tag_rows: int = 0
    """Rows of an embedding of tags or marks; 0: there are none."""
    affix_rows: int = 0
    """Rows of each embedding of first letters, endings and shapes; 0: there are none."""


class TokenEmbedding(nn.Module):
    """Embeddings of the tokens and, if the documents have them, of their tags and affixes behind them (B, T, E)."""

    def __init__(self, config: ReadsSequence, width: int, vocabulary_rows: int, beside: Beside, dropout: float) -> None:
        super().__init__()
        self.words = _embedding(vocabulary_rows, width)
        self.tags = _embedding(beside.tag_rows, config.tag_embedding) if beside.tag_rows else None
        lanes = AFFIXES if beside.affix_rows else 0
        self.affixes = nn.ModuleList(_embedding(beside.affix_rows, config.affix_embedding) for _ in range(lanes))
        self.width = width + (config.tag_embedding if beside.tag_rows else 0) + lanes * config.affix_embedding
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens_BT: Tensor, beside: Tensor | None) -> Tensor:
        """`beside` are tags (B, T) or, with affixes, tags and these (B, T, 4)."""
        embedded = [self.words(tokens_BT)]
        if beside is not None and self.tags is not None:
            embedded.append(self.tags(beside[..., 0] if self.affixes else beside))
        if beside is not None:
            embedded += [table(beside[..., lane]) for lane, table in enumerate(self.affixes, start=1)]
        dropped_BTE: Tensor = self.dropout(torch.cat(embedded, dim=-1))
        return dropped_BTE


def _embedding(rows: int, width: int) -> nn.Embedding:
    """A table whose row 0, padding, is zero and stays so."""
    table = nn.Embedding(rows, width, padding_idx=0)
    with torch.no_grad():
        table.weight.mul_(EMBEDDING_DEVIATION)
    return table


def inside(lengths_B: Tensor, longest: int) -> Tensor:
    """True (B, T) where a document has a token; the first place of an empty document counts as one."""
    return torch.arange(longest, device=lengths_B.device) < lengths_B.clamp(min=1)[:, None]


def backwards(values_BTE: Tensor, lengths_B: Tensor) -> Tensor:
    """Each document's own tokens in reverse, padding left where it is; doing it twice undoes it."""
    places_T = torch.arange(values_BTE.shape[1], device=values_BTE.device)
    reversed_BT = lengths_B[:, None] - 1 - places_T
    places_BT = torch.where(reversed_BT >= 0, reversed_BT, places_T)
    return values_BTE.gather(1, places_BT[..., None].expand_as(values_BTE))


def last(states_BTH: Tensor, lengths_B: Tensor) -> Tensor:
    """The state (B, H) at each document's last token."""
    rows_B = torch.arange(states_BTH.shape[0], device=states_BTH.device)
    return states_BTH[rows_B, (lengths_B - 1).clamp(min=0)]


class Pool(nn.Module):
    """One state (B, H) for each document from the states of its tokens (B, T, H).

    `attention` weighs them by softmax(v . tanh(W state)) (Yang et al., NAACL 2016, aclanthology.org/N16-1174).
    """

    def __init__(self, how: Literal["mean", "max", "attention"], width: int) -> None:
        super().__init__()
        self.how = how
        if how == "attention":
            self.project = nn.Linear(width, width)
            self.score = nn.Linear(width, 1, bias=False)

    def forward(self, states_BTH: Tensor, lengths_B: Tensor) -> Tensor:
        inside_BT1 = inside(lengths_B, states_BTH.shape[1])[..., None]
        if self.how == "max":
            return states_BTH.masked_fill(~inside_BT1, -torch.inf).amax(dim=1)
        if self.how == "mean":
            return (states_BTH * inside_BT1).sum(dim=1) / lengths_B.clamp(min=1)[:, None]
        scores_BT1 = self.score(torch.tanh(self.project(states_BTH)))
        shares_BT1 = torch.softmax(scores_BT1.masked_fill(~inside_BT1, -torch.inf), dim=1)
        return (shares_BT1 * states_BTH).sum(dim=1)


def word_embedding(model: nn.Module) -> nn.Embedding | nn.EmbeddingBag:
    """The table of word embeddings of a model that has one (for pretrained vectors). Raises LookupError."""
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            return module
    raise LookupError("the model has no word embeddings")
