"""Characters of a pretrained model's own tokens: every answer has its place, whatever becomes of its letters."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.config.layout import Pair
from cluster.data.windows import FIRST, LAST, MAY_END, MAY_START, NOWHERE, golden
from cluster.text.raw.asked import Question, Reference
from cluster.text.tokens.asked_pieces import QuestionPieces, paired
from tests.conftest import BAD, GOOD, PLAIN
from tests.models.folders import tokenizer_of

WORDS = [*GOOD, *BAD, *PLAIN]
READS = {family: QuestionPieces(json.loads(tokenizer_of(family, WORDS).to_str())) for family in ("bert", "roberta")}


@pytest.mark.parametrize("family", READS)
@pytest.mark.parametrize(
    "context, answer",
    [
        ("a warm and witty film", "warm"),
        ("a  warm\u00a0and\n\twitty film", "warm\u00a0and\n\twitty"),
        ("a warm film", " warm "),  # white space around an answer does not count
        ("in 1890.", "1890"),
        ("北京是中国的首都", "中国"),  # each of three bytes
        ("Brücke 🌉 橋 x", "🌉 橋"),
        ("Cafe\u0301 a", "Cafe\u0301"),  # an accent of its own, which BERT drops
        ("İstanbul'da İYİ gün", "gün"),
        ("a\u200b warm", "warm"),
    ],
)
def test_an_answer_has_its_very_characters(family, context, answer):
    reads = READS[family]
    asked = Question("who?", context, "", (Reference(answer, context.index(answer)),))
    found = reads.locate(asked)
    ((first, last),) = found.spans
    assert context[found.context.starts[first] : found.context.ends[last]] == answer.strip()
    assert not found.widened


TEXTS = st.text(alphabet="ab.'- \n\u00a0\u200b\u0301é漢İ🌉ﬁ1", min_size=1, max_size=30).filter(str.strip)


@given(st.sampled_from(list(READS)), TEXTS, st.data())
def test_any_span_of_any_text_has_a_place_and_flags_say_which(family, context, data):
    start = data.draw(st.integers(0, len(context) - 1))
    answer = context[start : data.draw(st.integers(start + 1, len(context)))]
    if not answer.strip():
        return
    numbered, _, (found,) = READS[family].number([Question("a b", context, "", (Reference(answer, start),))])
    ((first, last),) = found.spans
    starts, ends = found.context.starts, found.context.ends
    assert 0 <= first <= last < len(starts)
    assert all(a < b for a, b in zip(starts, ends, strict=True))
    assert all(b <= a for b, a in zip(ends[:-1], starts[1:], strict=True))
    flags = numbered.tags_N & (MAY_START | MAY_END)
    assert np.count_nonzero(flags & MAY_START) == np.count_nonzero(flags & MAY_END) == len(starts)
    gold = golden(flags.astype(np.uint16), 1, [[(first, last)]], np.array([len(starts)]))
    assert np.count_nonzero(gold[: np.flatnonzero(gold & FIRST)[0] + 1] & MAY_START) == first + 1
    assert np.count_nonzero(gold[: np.flatnonzero(gold & LAST)[0] + 1] & MAY_END) == last + 1


def test_a_document_is_what_the_model_expects_of_two_texts():
    numbered, names, _ = READS["bert"].number([Question("warm", "a film"), Question("so dull", "a")])
    rows = np.arange(10, 10 + len(names), dtype=np.uint32)[numbered.tokens_N]
    made = paired(rows, numbered.lengths_B, numbered.tags_N, Pair((5,), (6, 7), (8,), (0, 0, 0, 0, 1, 1)))
    asked = [np.count_nonzero(numbered.tags_N[: numbered.lengths_B[0]] & 3 == 2)]
    first = numbered.lengths_B[0]
    at = asked[0]
    assert made.tokens_M.tolist()[: first + 4] == [5, *rows[:at], 6, 7, *rows[at:first], 8]
    assert made.beside_M.tolist()[: first + 4] == [1] * (at + 3) + [2] * (first - at + 1)
    assert made.contexts_B.tolist()[0] == at + 3 and made.lengths_B.tolist()[0] == first + 4
    assert made.flags_M[0] == NOWHERE and not made.flags_M[1 : at + 3].any() and made.flags_M[first + 3] == 0
    assert made.tokens_M[first + 4] == 5 and made.flags_M[first + 4] == NOWHERE


def test_a_context_of_which_nothing_is_left_is_one_unknown_token():
    numbered, names, (found,) = READS["bert"].number([Question("a", " \u200b\u200b ")])
    assert names[numbered.tokens_N[-1]] == "" and found.context.words == ["\u200b\u200b"]
