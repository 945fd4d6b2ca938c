"""Bag of words: the distinct words of each document and what each one weighs.

B documents, N tokens of all of them together, D distinct known words of all documents together.
"""

import numpy as np
import numpy.typing as npt

UNKNOWN = 1  # row 0 is <pad>, row 1 is <unk>, words begin at row 2


def bag(
    tokens_N: npt.NDArray[np.uint32],
    lengths_B: npt.NDArray[np.uint32],
    weighting: str,
    idf: npt.NDArray[np.float64] | None,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """The distinct known words [D] of each document in ascending order, how many it has [B], their weights [D].

    `binary` weighs 1, `count` how often the word stands in the document, `tfidf` that times the word's idf
    (`idf[row - 2]`), scaled so that the document has Euclidean length 1, as scikit-learn's TfidfVectorizer does by
    default. Unknown words are left out; a document of nothing else stays, with length 0. Raises ValueError for another
    weighting.
    """
    documents_N = np.repeat(np.arange(len(lengths_B), dtype=np.uint64), lengths_B)
    known = tokens_N > UNKNOWN
    pairs = (documents_N[known] << np.uint64(32)) | tokens_N[known]
    pairs_D, counts_D = np.unique(pairs, return_counts=True)
    words_D = (pairs_D & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    distinct_B = np.bincount((pairs_D >> np.uint64(32)).astype(np.int64), minlength=len(lengths_B)).astype(np.uint32)
    return words_D, distinct_B, weighed(words_D, distinct_B, counts_D, weighting, idf)


def weighed(
    words_D: npt.NDArray[np.uint32],
    distinct_B: npt.NDArray[np.uint32],
    counts_D: npt.NDArray[np.int64] | npt.NDArray[np.float32],
    weighting: str,
    idf: npt.NDArray[np.float64] | None,
) -> npt.NDArray[np.float32]:
    """The weight of each word [D] that `bag` gives, where it is known how often each stands in its document. Raises
    ValueError as `bag` does."""
    match weighting:
        case "binary":
            weights_D = np.ones(words_D.size)
        case "count":
            weights_D = counts_D.astype(np.float64)
        case "tfidf" if idf is not None:
            weights_D = counts_D * idf[words_D.astype(np.int64) - 2]
            documents_D = np.repeat(np.arange(len(distinct_B)), distinct_B)
            lengths = np.sqrt(np.bincount(documents_D, weights=weights_D**2, minlength=len(distinct_B)))
            weights_D = weights_D / lengths[documents_D]
        case _:
            raise ValueError(f"no bag is weighted by {weighting!r}" + (" without idf" if weighting == "tfidf" else ""))
    return weights_D.astype(np.float32)


def inverse_document_frequency(document_frequency: npt.NDArray[np.int64], documents: int) -> npt.NDArray[np.float64]:
    """ln((1 + documents) / (1 + frequency)) + 1 for each word: scikit-learn's smoothed idf."""
    return np.log((1.0 + documents) / (1.0 + document_frequency.astype(np.float64))) + 1.0
