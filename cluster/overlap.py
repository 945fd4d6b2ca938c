"""How like the texts that were written are to those asked for: sacrebleu and rouge-score do the arithmetic."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cluster.config.packages import require_scorer

CHINESE = ("zh", "char")
# A Chinese character is a word; other words are as rouge-score has them.
_WORDS = re.compile("[a-z0-9]+|[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
ROUGE = ("rouge1", "rouge2", "rougeL")

Scores = Literal["bleu", "rouge"]
Tokens = Literal["13a", "intl", "zh", "char"]


@dataclass(frozen=True)
class Overlap:
    """What texts are scored by: see `schema.Rewrite`. `lower`: capital letters do not count; in ROUGE they never do."""

    scores: Scores = "bleu"
    tokens: Tokens = "13a"
    lower: bool = False

    def of(self, written: Sequence[str], wanted: Sequence[str]) -> dict[str, Any]:
        """Figures from 0 to 1, by name, with the signature that says how they were counted.

        BLEU and chrF are of all texts together; ROUGE is the mean F1 over texts, of stemmed words. Raises RecipeError.
        """
        require_scorer(self.scores)
        return self._bleu(written, wanted) if self.scores == "bleu" else self._rouge(written, wanted)

    def _bleu(self, written: Sequence[str], wanted: Sequence[str]) -> dict[str, Any]:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF

        found: dict[str, Any] = {}
        metrics = {"bleu": BLEU(tokenize=self.tokens, lowercase=self.lower), "chrf": CHRF(lowercase=self.lower)}
        for name, metric in metrics.items():
            found[name] = metric.corpus_score(list(written), [list(wanted)]).score / 100
            found[f"{name}_signature"] = str(metric.get_signature())
        return found

    def _rouge(self, written: Sequence[str], wanted: Sequence[str]) -> dict[str, Any]:
        from importlib.metadata import version

        from rouge_score.rouge_scorer import RougeScorer

        words = Characters() if self.tokens in CHINESE else None
        scorer = RougeScorer(list(ROUGE), use_stemmer=True, tokenizer=words)
        sums = dict.fromkeys(ROUGE, 0.0)
        for one, other in zip(written, wanted, strict=True):
            for name, score in scorer.score(other, one).items():
                sums[name] += score.fmeasure
        how = "characters" if words else "stemmed words"
        signature = f"F1|mean over texts|{how}|rouge-score {version('rouge-score')}"
        return {name: total / max(len(written), 1) for name, total in sums.items()} | {"rouge_signature": signature}


class Characters:
    """Words for rouge-score, whose own are of a to z and 0 to 9 alone: it would find nothing in Chinese."""

    def tokenize(self, text: str) -> list[str]:
        """Chinese characters, and words of other letters and digits."""
        return _WORDS.findall(text.lower())
