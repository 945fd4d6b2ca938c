import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from cluster.config.schema import Text
from cluster.text.preparation.counts import Counted
from cluster.text.preparation.splits import vocabulary
from cluster.text.tokens.numbering import Numbered
from cluster.text.tokens.pipeline import Encoder
from cluster.text.tokens.weights import bag, inverse_document_frequency

LETTERS = "abcdefgh"


def dense(tokens, lengths, weights, columns):
    matrix = np.zeros((len(lengths), columns))
    documents = np.repeat(np.arange(len(lengths)), lengths)
    np.add.at(matrix, (documents, tokens.astype(np.int64) - 2), weights)
    return matrix


@given(
    train=st.lists(st.lists(st.sampled_from(LETTERS), min_size=1, max_size=12), min_size=1, max_size=12),
    other=st.lists(st.lists(st.sampled_from(LETTERS + "xyz"), max_size=12), min_size=1, max_size=6),
)
def test_weights_equal_those_of_scikit_learn(train, other):
    counts = {word: sum(tokens.count(word) for tokens in train) for word in {w for tokens in train for w in tokens}}
    words = [one.word for one in vocabulary((Counted(word, times, 0) for word, times in counts.items()), 100, 1)]
    frequency = np.array([sum(word in tokens for tokens in train) for word in words])
    idf = inverse_document_frequency(frequency, len(train))
    how = {"vocabulary": words, "analyzer": lambda tokens: tokens}
    references = {
        "tfidf": TfidfVectorizer(**how).fit(train),
        "count": CountVectorizer(**how).fit(train),
        "binary": CountVectorizer(**how, binary=True).fit(train),
    }
    for weighting, reference in references.items():
        encoder = Encoder(Text(weights=weighting), words, idf if weighting == "tfidf" else None)
        flat = [word for tokens in other for word in tokens]
        lengths = np.array([len(tokens) for tokens in other], dtype=np.uint32)
        numbered = Numbered(np.arange(len(flat), dtype=np.uint32), lengths, np.zeros(len(other), dtype=bool), None)
        found = encoder.documents(numbered, encoder.table(flat))
        assert found.beside.dtype == np.float32 and found.lengths.sum() == found.tokens.size
        matrix = dense(found.tokens, found.lengths, found.beside, len(words))
        np.testing.assert_allclose(matrix, reference.transform(other).toarray(), atol=1e-6, rtol=0)


def test_unknown_words_leave_a_bag_and_an_empty_document_stays():
    tokens = np.array([3, 1, 2, 3, 1, 1], dtype=np.uint32)
    words, lengths, weights = bag(tokens, np.array([4, 2, 0], dtype=np.uint32), "count", None)
    assert words.tolist() == [2, 3] and lengths.tolist() == [2, 0, 0] and weights.tolist() == [1.0, 2.0]


def test_a_bag_needs_a_weighting():
    with pytest.raises(ValueError, match="none"):
        bag(np.array([2], dtype=np.uint32), np.array([1], dtype=np.uint32), "none", None)
    with pytest.raises(ValueError, match="without idf"):
        bag(np.array([2], dtype=np.uint32), np.array([1], dtype=np.uint32), "tfidf", None)
