"""The text that a model writes of another: the most probable token each time, or a search among several ways.

Shapes: B texts that are read, S tokens of the longest, W ways that are kept of each, V rows of the vocabulary, L tokens
written so far, C candidates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from cluster.data.marks import end_of, mark_of
from cluster.models.language import Spoken
from cluster.models.writing import Writes, rows_of

MOST_BEYOND = 50
"""Tokens that a text may be longer than what it is written of (arxiv.org/abs/1706.03762, section 6.1)."""
NEVER_SAID = (0, 1)
"""Rows of padding and of unknown words."""
Tick = Callable[[], None]


@dataclass(frozen=True)
class Search:
    """How wide, and how lengths are weighed: see `config.tasks.Rewrite`."""

    beam: int = 4
    length_penalty: float = 0.6

    def divisor(self, tokens: int) -> float:
        """What a text's log-probability is divided by (Wu et al., arxiv.org/abs/1609.08144, equation 14)."""
        return float(((5 + tokens) / 6) ** self.length_penalty)


def written(
    model: Writes, tokens_BS: Tensor, lengths_B: Tensor, search: Search, tick: Tick = lambda: None
) -> list[list[int]]:
    """The rows that are written of each text, without the end. Reads with the model as it is (in `eval`), without
    gradients; `tick` is called after each token of all of them."""
    if search.beam == 1:
        return greedy(model, tokens_BS, lengths_B, tick)
    return beam_search(model, tokens_BS, lengths_B, search, tick)


def most_of(lengths_B: Tensor) -> list[int]:
    """Most tokens that may be written of each text, the end among them."""
    most: list[int] = (lengths_B + MOST_BEYOND).tolist()
    return most


def _log_probabilities(spoken: Spoken) -> Tensor:
    """Of the next token, (B, W, V); -inf for rows that are no token."""
    scores_BWV = spoken.scores().float().log_softmax(-1)
    scores_BWV[..., [*NEVER_SAID, mark_of(scores_BWV.shape[-1])]] = -torch.inf
    return scores_BWV


@torch.inference_mode()
def greedy(model: Writes, tokens_BS: Tensor, lengths_B: Tensor, tick: Tick = lambda: None) -> list[list[int]]:
    """The most probable token each time."""
    rows = model.words.num_embeddings
    kept, most = model.read(tokens_BS, lengths_B), most_of(lengths_B)
    texts: list[list[int]] = [[] for _ in most]
    going = list(range(len(texts)))
    newest_B1 = tokens_BS.new_full((len(texts), 1), mark_of(rows))
    while going:
        newest_B1 = _log_probabilities(model.write_on(newest_B1, kept)).argmax(-1)
        tick()
        left = []
        for place, (text, row) in enumerate(zip(going, newest_B1[:, 0].tolist(), strict=True)):
            if row != end_of(rows):
                texts[text].append(row)
                if len(texts[text]) + 1 < most[text]:
                    left.append(place)
        if len(left) < len(going):
            places_B = torch.tensor(left, dtype=torch.int64, device=tokens_BS.device)
            kept, newest_B1 = kept.only(places_B), newest_B1[places_B]
            going = [going[place] for place in left]
    return texts


@torch.inference_mode()
def beam_search(
    model: Writes, tokens_BS: Tensor, lengths_B: Tensor, search: Search, tick: Tick = lambda: None
) -> list[list[int]]:
    """The best of the first `search.beam` texts of each that end.

    The `beam` most probable ways go on; one that ends among them is a text. So many texts, or the most tokens that may
    be written, end the search; what is cut there counts only if no text has ended.
    """
    rows, width = model.words.num_embeddings, search.beam
    kept, most = model.read(tokens_BS, lengths_B), most_of(lengths_B)
    found: list[list[tuple[float, list[int]]]] = [[] for _ in most]
    going = list(range(len(most)))
    newest_BW = tokens_BS.new_full((len(most), 1), mark_of(rows))
    totals_BW = torch.zeros(newest_BW.shape, device=tokens_BS.device)
    said_BWL = tokens_BS.new_empty((len(most), 1, 0))
    for length in count(1):
        sums_BWV = totals_BW[..., None] + _log_probabilities(model.write_on(newest_BW, kept))
        tick()
        best_BC, places_BC = sums_BWV.flatten(1).topk(min(2 * width, sums_BWV[0].numel()))
        parents_BC, tokens_BC = places_BC // rows, places_BC % rows
        ends_BC = tokens_BC == end_of(rows)
        divisor = search.divisor(length)
        for place, candidate in ends_BC[:, :width].nonzero().tolist():
            total = float(best_BC[place, candidate])
            text = said_BWL[place, parents_BC[place, candidate]].tolist()
            if total > -torch.inf:
                found[going[place]].append((total / divisor, text))
        # Each way ends once at most, so of twice as many candidates enough go on; those that do come first.
        on_BW = ends_BC.int().argsort(dim=1, stable=True)[:, :width]
        totals_BW, newest_BW, parents_BW = (x.gather(1, on_BW) for x in (best_BC, tokens_BC, parents_BC))
        kept.follow(parents_BW)
        said_BWL = torch.cat([rows_of(said_BWL, parents_BW), newest_BW[..., None]], dim=2)
        left = []
        for place, text_number in enumerate(going):
            if length + 1 >= most[text_number]:
                if found[text_number]:
                    continue
                cut = zip(totals_BW[place].tolist(), said_BWL[place].tolist(), strict=True)
                found[text_number] += [(total / divisor, text) for total, text in cut]
            elif len(found[text_number]) < width:
                left.append(place)
        if not left:
            break
        if len(left) < len(going):
            places_B = torch.tensor(left, dtype=torch.int64, device=tokens_BS.device)
            kept = kept.only(places_B)
            totals_BW, newest_BW, said_BWL = totals_BW[places_B], newest_BW[places_B], said_BWL[places_B]
            going = [going[place] for place in left]
    return [max(texts, key=lambda text: text[0])[1] for texts in found]
