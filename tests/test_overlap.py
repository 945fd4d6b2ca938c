"""Scores of texts that were written: fixed values, and what Chinese is counted by."""

import importlib.util

import pytest

from cluster.errors import RecipeError
from cluster.overlap import Characters, Overlap

WANTED = ["the cat sat on the mat today", "a dog"]
SAID = ["the cat sat on a mat today", "A dog"]


def test_bleu_and_chrf_are_of_all_texts_together_and_signed():
    found = Overlap().of(SAID, WANTED)
    # 9 words said and asked for: 7 of 9, 4 of 7, 2 of 5, 1 of 4 runs of 1 to 4 words; no shorter than asked for
    assert found["bleu"] == pytest.approx((7 / 9 * 4 / 7 * 2 / 5 * 1 / 4) ** 0.25)
    assert 0.6 < found["chrf"] < 1
    assert "tok:13a" in found["bleu_signature"] and "case:mixed" in found["bleu_signature"]
    lower = Overlap(lower=True).of(SAID, WANTED)
    assert lower["bleu"] > found["bleu"] and "case:lc" in lower["bleu_signature"]
    assert lower["chrf"] > found["chrf"] and lower["chrf_signature"].startswith("nrefs:1|case:lc|")
    assert found["chrf_signature"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
    assert Overlap().of(WANTED, WANTED)["bleu"] == pytest.approx(1)


def test_chinese_is_cut_into_characters():
    said, wanted = ["打开一个对话框。"], ["打开对话框。"]
    assert Overlap(tokens="13a").of(said, wanted)["bleu"] == 0  # one word of all
    found = Overlap(tokens="zh").of(said, wanted)
    assert found["bleu"] > 0.3 and "tok:zh" in found["bleu_signature"]


def test_rouge_is_the_mean_f1_of_stemmed_words():
    found = Overlap("rouge").of(["cats ran", "x"], ["the cat ran", "y"])
    assert found["rouge1"] == pytest.approx((2 * 1 * 2 / 3 / (1 + 2 / 3)) / 2)  # both words of two, two of three
    assert found["rouge2"] == pytest.approx((2 * 1 * 0.5 / 1.5) / 2)
    assert found["rougeL"] == found["rouge1"] and "stemmed words" in found["rouge_signature"]


def test_rouge_counts_chinese_by_characters():
    said, wanted = ["打开文件"], ["打开 Writer 文件"]
    assert Overlap("rouge").of(said, wanted)["rouge1"] == 0  # rouge-score's own words are of a to z
    assert Overlap("rouge", "zh").of(said, wanted)["rouge1"] == pytest.approx(2 * 4 / 9)
    assert Characters().tokenize("LibreOffice 7 的帮助") == ["libreoffice", "7", "的", "帮", "助"]


@pytest.mark.parametrize("scores, package", [("bleu", "sacrebleu"), ("rouge", "rouge-score")])
def test_a_missing_package_is_named_with_the_way_to_install_it(monkeypatch, scores, package):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=f"{package} is not installed.*pip install"):
        Overlap(scores).of(["a"], ["a"])
