"""A finished language model at work: goes on with texts, or fills in what is missing.

    speaker = Speaker("runs/lm-tiny")
    "".join(speaker.continued("Once upon a", Sampling(temperature=0.8)))
    Speaker("runs/mlm-tiny").filled("The [MASK] is red.")

V rows of the vocabulary.
"""

import codecs
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cluster.data.marks import mark_of, mask_of
from cluster.data.permutation import mix
from cluster.errors import DataError, RunError
from cluster.models.build import load_for_inference
from cluster.models.gpt import Decoder
from cluster.models.language import Spoken
from cluster.predictor import DIGITS, verify_model
from cluster.runs import model_folder
from cluster.sampling import Sampling, drawn, window_start
from cluster.tasks.build import build_for_inference
from cluster.tasks.language import Language
from cluster.text.tokens.model import ModelPieces
from cluster.text.tokens.pieces import bytes_of
from cluster.text.tokens.pipeline import FIRST_WORD, Encoder
from cluster.text.tokens.spelling import unspaced

MASK = "[MASK]"
"""What stands for a missing token in a text."""
SHOWN_WORDS = 5


class Speaker:
    """All that a finished language model's `model/` folder holds, at work on one device. Not for several threads at
    once.

    `folder` is that of the run, or its `model/`. Raises RunError (no finished run, a damaged one, no language model),
    DataError.
    """

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        self.folder, self.device = model_folder(Path(folder)), device
        verify_model(self.folder)
        self.encoder = Encoder.load(self.folder)
        self.model, description = load_for_inference(self.folder, device)
        task = build_for_inference(description)
        if not isinstance(task, Language) or not self.encoder.marked:
            raise RunError(f"{self.folder} holds no language model: `muster predict` gives its labels.")
        self.objective = task.objective
        self.context = int(description["model"]["context"])
        rows = self.encoder.rows
        self._mark, self._mask = mark_of(rows), mask_of(rows)
        self._never = torch.tensor([*range(FIRST_WORD), self._mask])

    def continued(self, text: str, sampling: Sampling, keep: bool = True) -> Iterator[str]:
        """What comes after a text, piece by piece, up to the end of a document, a stop, or `most_tokens`. The same text
        and sampling give the same answer. With `keep` False all is read anew for each token, which is slower, and no
        other. Raises RunError for a masked model.

        More than the model's context is not looked back upon: of a longer text the last half of a context at least.
        """
        if self.objective != "causal":
            raise RunError(f"{self.folder} holds a masked model, which fills in {MASK} and goes on with nothing.")
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        chance = torch.Generator().manual_seed(mix(sampling.seed, int.from_bytes(digest)) >> 1)
        tokens = self._tokens(text, [self._mark])
        pieces = self._decoded(self._rows(self.model, tokens, sampling, chance, keep))
        return stopped(pieces, sampling.stop)

    def _rows(
        self, model: nn.Module, tokens: list[int], sampling: Sampling, chance: torch.Generator, keep: bool
    ) -> Iterator[int]:
        """The rows that follow, the mark that ends a document left out. Other models than our own read all anew."""
        kept, start = (model.keep(1) if keep and isinstance(model, Decoder) else None), 0
        for _ in range(sampling.most_tokens):
            if kept is None or start != window_start(len(tokens), self.context):
                start = window_start(len(tokens), self.context)
                if kept is not None:
                    kept.length = 0
            with torch.inference_mode():
                new = torch.tensor([tokens[start + (kept.length if kept else 0) :]], device=self.device)
                if kept is not None and isinstance(model, Decoder):
                    spoken = model.read_on(new, kept)
                else:
                    spoken = model(new, torch.tensor([new.shape[1]], device=self.device))
                scores_V = _last(spoken)
                scores_V[self._never] = -torch.inf
                row = drawn(scores_V, sampling, chance)
            if row == self._mark:
                return
            tokens.append(row)
            yield row

    def _decoded(self, rows: Iterable[int]) -> Iterator[str]:
        """Rows as text; a character that is not whole yet waits for the rest of its bytes."""
        if self.encoder.pieces is None:
            between = "" if unspaced(self.encoder) else " "
            yield from (between + self.encoder.words[row - FIRST_WORD] for row in rows)
            return
        if isinstance(self.encoder.pieces, ModelPieces):
            yield from self.encoder.pieces.decoded(rows)
            return
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for row in rows:
            if text := decoder.decode(bytes_of(self.encoder.words[row - FIRST_WORD])):
                yield text
        if rest := decoder.decode(b"", final=True):
            yield rest

    def filled(self, text: str, most: int = SHOWN_WORDS) -> dict[str, Any]:
        """{"filled": the text with the most probable token in each [MASK]'s place, "masks": for each of them the `most`
        most probable, [{"token", "probability"}, ...]}.

        Raises DataError for a text without [MASK], or one of more tokens than the model's context; RunError for a
        causal model.
        """
        if self.objective == "causal":
            raise RunError(f"{self.folder} holds a causal model, which goes on with texts and fills in nothing.")
        tokens, between = self._with_masks(text)
        if len(tokens) > self.context:
            raise DataError(
                f"{len(tokens)} tokens, and the model reads at most {self.context} at once (model.context): give "
                f"it the words around {MASK} alone"
            )
        with torch.inference_mode():
            batch = torch.tensor([tokens], device=self.device)
            spoken: Spoken = self.model(batch, torch.tensor([len(tokens)], device=self.device))
            asked = Spoken(spoken.states_BTD[batch == self._mask], spoken.words_VD, spoken.bias_V)
            scores = asked.scores().double().cpu()
            scores[:, [*self._never.tolist(), self._mark]] = -torch.inf
            probabilities, rows = scores.softmax(1).topk(min(most, len(self.encoder.words)), dim=1)
        masks = [
            [
                {"token": self._shown(row), "probability": round(probability, DIGITS)}
                for row, probability in zip(its_rows, its, strict=True)
            ]
            for its_rows, its in zip(rows.tolist(), probabilities.tolist(), strict=True)
        ]
        filled = between[0]
        for best, after in zip(rows[:, 0].tolist(), between[1:], strict=True):
            filled += "".join(self._decoded([best])) + after
        return {"filled": filled if between[0] else filled.lstrip(), "masks": masks}

    def _with_masks(self, text: str) -> tuple[list[int], list[str]]:
        """The tokens of a text with [MASK] in it, and the text before, between and behind. The space before a [MASK]
        belongs to what will stand there."""
        parts = text.split(MASK)
        if len(parts) == 1:
            raise DataError(f"there is no {MASK} in the text: it stands for what the model has to find")
        between = [part.rstrip() for part in parts[:-1]] + [parts[-1]]
        tokens = [self._mark]
        for number, part in enumerate(between):
            if number:
                tokens.append(self._mask)
            tokens = self._tokens(part, tokens)
        return tokens, between

    def _tokens(self, text: str, before: list[int]) -> list[int]:
        """`before`, and the rows of a text."""
        if not text.strip() and (self.encoder.pieces is None or not text):
            return before
        rows: list[int] = self.encoder.encode([text]).tokens.tolist()
        return before + rows[1:]

    def _shown(self, row: int) -> str:
        return "".join(self._decoded([row])).strip()


def _last(spoken: Spoken) -> torch.Tensor:
    """Scores [V] of what follows the last token."""
    last = Spoken(spoken.states_BTD[0, -1:], spoken.words_VD, spoken.bias_V)
    return last.scores()[0].float().cpu()


def stopped(pieces: Iterable[str], stops: tuple[str, ...]) -> Iterator[str]:
    """The pieces up to where one of `stops` begins; what may be the beginning of one waits until that is known."""
    longest = max(map(len, stops), default=1)
    waiting = ""
    for piece in pieces:
        waiting += piece
        known = max(0, len(waiting) - longest + 1)  # places of which it is known whether a stop begins there
        end = _first(waiting, stops, known)
        if end > 0:
            yield waiting[:end]
        if end < known:
            return
        waiting = waiting[end:]
    if end := _first(waiting, stops, len(waiting)):
        yield waiting[:end]


def _first(text: str, stops: tuple[str, ...], before: int) -> int:
    """The first place before `before` where a stop begins, or `before`."""
    return min((place for stop in stops if 0 <= (place := text.find(stop)) < before), default=before)
