"""A finished model that writes texts of others, at work: translations, summaries.

rewriter = Rewriter("runs/translate-de")
rewriter.rewritten(["Opens the dialog."])                        # ["Öffnet das Dialogfeld."]
rewriter.rewritten(texts, Search(beam=1))                        # the most probable token each time
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch

from cluster.decoding import Search, written
from cluster.errors import RunError
from cluster.models.build import load_for_inference
from cluster.models.writing import Writes
from cluster.predictor import verify_model
from cluster.runs import model_folder
from cluster.tasks.build import build_for_inference
from cluster.tasks.rewrite import Rewrite
from cluster.text.tokens.pipeline import Encoder
from cluster.text.tokens.spelling import text_of
from cluster.training.writing import batches_of


class Rewriter:
    """All that such a run's `model/` folder holds, at work on one device. Not for several threads at once.

    `folder` is that of the run, or its `model/`. Raises RunError (no finished run, a damaged one, another kind of
    model), DataError.
    """

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        self.folder, self.device = model_folder(Path(folder)), device
        verify_model(self.folder)
        self.encoder = Encoder.load(self.folder)
        self.model, description = load_for_inference(self.folder, device)
        task = build_for_inference(description)
        if not isinstance(task, Rewrite) or self.encoder.takes != "pairs":
            raise RunError(f"{self.folder} holds no model that writes texts of others: use `muster predict`.")
        self.search = task.search
        """What the recipe says of beam and length penalty."""

    def rewritten(
        self, texts: Sequence[str], search: Search | None = None, tick: Callable[[], None] = lambda: None
    ) -> list[str]:
        """What is written of each text, in their order; `search` in place of what the recipe says.

        A text beyond `text.max_tokens` is cut there, as in training. Raises RecipeError if a package that splits texts
        is not there.
        """
        if not texts:
            return []
        search = search or self.search
        documents = self.encoder.encode(texts)
        parts = np.split(documents.tokens.astype(np.int64), np.cumsum(documents.lengths, dtype=np.int64)[:-1])
        said: list[str] = [""] * len(texts)
        for batch in batches_of(documents.lengths, search.beam):
            rows = [torch.from_numpy(parts[number]) for number in batch.tolist()]
            lengths = torch.tensor([len(one) for one in rows], device=self.device)
            tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
            found = written(cast(Writes, self.model), tokens, lengths, search, tick)
            for number, its in zip(batch.tolist(), found, strict=True):
                said[number] = text_of(self.encoder, its)
        return said
