import subprocess
import sys

import numpy as np
import pytest

from cluster.config.schema import Text
from cluster.errors import DataError
from cluster.text.tokens.pipeline import Encoder


def test_sequences_keep_unknown_words_and_are_cut():
    encoder = Encoder(Text(weights="none", max_tokens=3), ["the", "film"], None)
    found = encoder.encode(["The film bores", "the the the film", "quux"])
    assert encoder.rows == 4 and found.beside is None
    assert found.tokens.tolist() == [2, 3, 1, 2, 2, 2, 1] and found.lengths.tolist() == [3, 3, 1]
    assert (found.cut, found.read, found.unknown, found.without_known_word) == (1, 7, 2, 1)


def test_bags_of_no_text_at_all():
    found = Encoder(Text(weights="count"), ["a"], None).encode([])
    assert found.tokens.size == found.lengths.size == found.beside.size == 0


def test_an_encoder_comes_back_as_it_was(tmp_path):
    encoder = Encoder(Text(weights="tfidf", lower=False), ["naïve", "中", '"'], np.array([1.0, 1 / 3, 2.5]))
    encoder.save(tmp_path)
    again = Encoder.load(tmp_path)
    assert (again.text, again.words, again.idf.tolist()) == (encoder.text, encoder.words, encoder.idf.tolist())
    assert again.spacy_version == encoder.spacy_version


@pytest.mark.parametrize("contents", ["", "[]", "{}", '{"format": 9}', '{"format": 1, "words": [1], "idf": null}'])
def test_a_damaged_encoder_is_refused(tmp_path, contents):
    (tmp_path / "encoder.json").write_text(contents)
    with pytest.raises(DataError, match=r"encoder\.json"):
        Encoder.load(tmp_path)


def test_loading_an_encoder_is_light(tmp_path):
    Encoder(Text(weights="none"), ["a"], None).save(tmp_path)
    code = (
        "import sys, pathlib; from cluster.text.tokens.pipeline import Encoder;"
        "Encoder.load(pathlib.Path(sys.argv[1]));"
        "print(sorted({'torch', 'spacy', 'pyarrow', 'sklearn', 'tokenizers'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
