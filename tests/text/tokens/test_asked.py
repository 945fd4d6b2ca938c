"""Characters and tokens of contexts: every word has its place, every answer the fewest words that cover it."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.config.schema import Text
from cluster.data.windows import BEGIN, CONTEXT, MAY_END, MAY_START, NOWHERE, QUESTION, SHARED, golden
from cluster.text.raw.asked import Question, Reference
from cluster.text.tokens.asked import QuestionWords, located, part_of
from cluster.text.tokens.pieces import learn
from cluster.text.tokens.pipeline import Encoder


def text_of(**settings):
    return Text(**{"weights": "none", "max_tokens": 2**31 - 1} | settings)


@functools.cache
def words_of(**settings):
    return QuestionWords(text_of(**settings))


def covered(context, answer, **settings):
    """What the fewest whole words that hold an answer say, and whether they say more."""
    start = context.index(answer)
    found = words_of(**settings).locate(Question("Who?", context, "", (Reference(answer, start),)))
    ((first, last),) = found.spans
    return context[found.context.starts[first] : found.context.ends[last]], found.widened


@pytest.mark.parametrize(
    "context, answer, whole, widened, settings",
    [
        ("It was built in 1890.", "1890", "1890", False, {}),
        ("It was built in 1890.", "1890.", "1890.", False, {}),
        ("Costs $1,000 now", "1,000", "1,000", False, {}),
        ("the Danube's banks", "Danube", "Danube", False, {}),
        ("an unbreakable rule", "break", "unbreakable", True, {}),  # no whole word: the one that covers it
        ("from 1890-1895 on", "1890", "1890", False, {}),
        ("a  wide\u00a0gap\n\there", "gap", "gap", False, {}),
        ("a  wide\u00a0gap\n\there", "wide\u00a0gap", "wide\u00a0gap", False, {}),
        ("two words here", " words ", "words", False, {}),  # white space around an answer does not count
        ("İstanbul'da İYİ gün", "gün", "gün", False, {}),  # in lower case a letter longer
        ("Brücke 🌉 橋 x", "🌉 橋", "🌉 橋", False, {}),
        ("北京是中国的首都", "中国", "中国", False, {"language": "zh", "tokens": "characters"}),
        ("北京 是 中国", "京 是", "京 是", False, {"language": "zh"}),
        ("It was built in 1890.", "189", "1890", True, {"tokens": "bpe", "vocabulary_size": 256}),
        ("Stadt Brücke 🌉", "Brücke", "Brücke", False, {"tokens": "bpe", "vocabulary_size": 256}),
    ],
)
def test_an_answer_takes_the_fewest_words_that_cover_it(context, answer, whole, widened, settings):
    assert covered(context, answer, **settings) == (whole, widened)


TEXTS = st.text(alphabet="ab.,'- \n\u00a0éİ橋🌉1", min_size=1, max_size=40).filter(str.strip)


@given(TEXTS, st.data())
def test_any_span_of_any_text_is_covered(context, data):
    start = data.draw(st.integers(0, len(context) - 1))
    answer = context[start : data.draw(st.integers(start + 1, len(context)))]
    if not answer.strip():
        return
    found = words_of().locate(Question("?", context, "", (Reference(answer, start),)))
    ((first, last),) = found.spans
    assert 0 <= first <= last < len(found.context.words)
    at, behind = found.context.starts[first], found.context.ends[last]
    begins = start + len(answer) - len(answer.lstrip())
    assert at <= begins and start + len(answer.rstrip()) <= behind
    assert found.context.ends[first] > begins and found.context.starts[last] < start + len(answer.rstrip())
    assert [context[a:b] for a, b in zip(found.context.starts, found.context.ends, strict=True)] == list(
        found.context.words
    )


def test_repeated_words_have_places_of_their_own():
    assert located("a b a", ["a", "b", "a"]).starts == [0, 2, 4]


def encoder_of(texts, **settings):
    text = text_of(**settings)
    if text.tokens == "bpe":
        words = QuestionWords(text)
        _, forms, _ = words.number([Question("q", one) for one in texts])
        pieces = learn(dict.fromkeys(forms, 1), text)
        return Encoder(text, pieces.words, None, pieces, "question")
    return Encoder(text, sorted({word for one in texts for word in one.lower().split()}), None, None, "question")


def test_a_document_is_marks_question_and_context():
    encoder = encoder_of(["who came", "ada came late"])
    made = encoder.encode([Question("Who came", "Ada came late"), Question("ada", "x")])
    rows = {word: row for row, word in enumerate(encoder.words, start=2)}
    begin, between = encoder.rows - 2, encoder.rows - 1
    first = [begin, rows["who"], rows["came"], between, rows["ada"], rows["came"], rows["late"]]
    assert made.tokens.tolist() == [*first, begin, rows["ada"], between, 1]
    assert made.lengths.tolist() == [7, 4] and made.contexts.tolist() == [4, 3]
    parts = [BEGIN, QUESTION, QUESTION, BEGIN, CONTEXT, SHARED, CONTEXT, BEGIN, QUESTION, BEGIN, CONTEXT]
    assert made.beside.tolist() == parts
    both = MAY_START | MAY_END
    assert made.flags.tolist() == [NOWHERE, 0, 0, 0, both, both, both, NOWHERE, 0, 0, both]


def test_affixes_stand_in_the_higher_lanes():
    encoder = encoder_of(["who came", "ada came late"], affixes=True)
    made = encoder.encode([Question("Who came", "Ada came late")])
    assert made.beside.dtype == np.uint64 and part_of(made.beside).tolist() == [1, 2, 2, 1, 3, 4, 3]
    assert (made.beside[4] >> np.uint64(16)) != 0 and made.beside[0] == BEGIN


def test_answers_begin_at_first_and_end_at_last_pieces():
    encoder = encoder_of(["unbreakable", "Brücke"], tokens="bpe", vocabulary_size=256)
    made = encoder.encode([Question("q", "ab Brücke cd")])
    flags = golden(made.flags, 1, [[(1, 1)]], np.array([3]))
    context = flags[int(made.contexts[0]) :]
    # a space and two letters, then a space and seven bytes, then a space and two letters
    assert [int(np.count_nonzero(context & flag)) for flag in (MAY_START, MAY_END, 1, 2)] == [3, 3, 1, 1]
    assert np.flatnonzero(context & 1).tolist() == [3] and np.flatnonzero(context & 2).tolist() == [10]
    none = golden(made.flags, 1, [[]], np.array([3]))
    assert none[0] == NOWHERE | 1 | 2 and not (none[1:] & 3).any()
