"""Fields: what a value becomes, and what a batch of them becomes."""

import warnings
from collections import Counter

import hypothesis
import pytest
import spacy
import torch
from hypothesis import strategies

from cluster.compat.torchtext import Field, LabelField, Pipeline, RawField, Vocab, get_tokenizer
from cluster.errors import DataError, InputError, RecipeError

QUIET = pytest.mark.filterwarnings("ignore:tokenize=.spacy")


def with_words(field, *texts):
    field.build_vocab([field.preprocess(text) for text in texts])
    return field


@pytest.mark.parametrize(
    "settings, text, expected",
    [
        ({}, "A red\tdoor\n", ["A", "red", "door"]),
        ({"lower": True}, "A Red door", ["a", "red", "door"]),
        ({"lower": True, "stop_words": ["a"]}, "A red door", ["red", "door"]),  # lowered first
        ({"stop_words": {"a"}, "use_vocab": False}, "a b", ["b"]),
        ({"tokenize": list}, "abc", ["a", "b", "c"]),
        (
            {"tokenize": "basic_english"},
            'It\'s "so", (good)!<br />',
            ["it", "'", "s", "so", ",", "(", "good", ")", "!"],
        ),
        ({"preprocessing": lambda tokens: tokens[::-1]}, "a b c", ["c", "b", "a"]),
        ({"preprocessing": Pipeline(str.upper).add_after(lambda token: token * 2)}, "a b", ["AA", "BB"]),
        ({"sequential": False}, "two words", "two words"),
        ({"sequential": False, "lower": True}, "Two", "two"),
        ({"lower": True}, ["Given", "Words"], ["given", "words"]),
    ],
)
def test_what_an_example_keeps(settings, text, expected):
    assert Field(**settings).preprocess(text) == expected


@pytest.mark.parametrize(
    "settings, rows, lengths",
    [
        ({}, [["a", "b", "c"], ["d", "-", "-"], ["-", "-", "-"]], [3, 1, 0]),
        ({"pad_first": True}, [["a", "b", "c"], ["-", "-", "d"], ["-", "-", "-"]], [3, 1, 0]),
        ({"fix_length": 2}, [["a", "b"], ["d", "-"], ["-", "-"]], [2, 1, 0]),
        ({"fix_length": 2, "truncate_first": True}, [["b", "c"], ["d", "-"], ["-", "-"]], [2, 1, 0]),
        ({"init_token": "<", "eos_token": ">"}, [list("<abc>"), list("<d>--"), list("<>---")], [5, 3, 2]),
        ({"init_token": "<", "fix_length": 3}, [list("<ab"), list("<d-"), list("<--")], [3, 2, 1]),
        ({"eos_token": ">", "pad_first": True}, [list("abc>"), list("--d>"), list("--->")], [4, 2, 1]),
    ],
)
def test_padding(settings, rows, lengths):
    field = Field(include_lengths=True, pad_token="-", **settings)
    assert field.pad([["a", "b", "c"], ["d"], []]) == (rows, lengths)


def test_a_batch_is_a_tensor_with_time_first_or_batch_first():
    field = with_words(Field(include_lengths=True), "a b c", "a b", "a")
    tensor, lengths = field.process([["a", "b", "c"], ["a", "z"]])
    assert tensor.tolist() == [[2, 2], [3, 0], [4, 1]]  # z is unknown; the second is padded
    assert tensor.is_contiguous() and lengths.tolist() == [3, 2] and lengths.dtype == torch.int64
    torch.nn.utils.rnn.pack_padded_sequence(tensor[:, :, None].float(), lengths)
    field.batch_first = True
    assert field.process([["a", "b", "c"], ["a", "z"]])[0].tolist() == [[2, 3, 4], [2, 0, 1]]


def test_labels_are_numbered_by_frequency_without_special_words():
    label = LabelField(dtype=torch.float)
    label.build_vocab(["pos", "neg", "pos"])
    assert label.vocab.itos == ["pos", "neg"] and label.is_target
    tensor = label.process(["neg", "pos"])
    assert tensor.tolist() == [1.0, 0.0] and tensor.dtype == torch.float32
    with pytest.raises(DataError, match="'neutral' is none of the 2 entries .*'pos', 'neg'"):
        label.process(["neutral"])


@pytest.mark.parametrize(
    "settings, values, expected",
    [
        ({"sequential": False, "dtype": torch.float}, ["0.5", 2], [0.5, 2.0]),
        ({"sequential": False}, ["3", "-1"], [3, -1]),
        ({"batch_first": True, "pad_token": 0}, [["1", "2"], ["3"]], [[1, 2], [3, 0]]),
        ({"batch_first": True, "pad_token": 0, "postprocessing": lambda rows, vocab: [r[::-1] for r in rows]},
         [[1, 2]], [[2, 1]]),
    ],
)  # fmt: skip
def test_numbers_need_no_vocabulary(settings, values, expected):
    assert Field(use_vocab=False, **settings).process(values).tolist() == expected


def test_postprocessing_gets_numbers_and_the_vocabulary():
    seen = []
    field = with_words(Field(postprocessing=lambda rows, vocab: seen.append(vocab) or [row[:1] for row in rows]), "a b")
    assert field.process([["b", "a"]]).tolist() == [[3]]
    assert isinstance(seen[0], Vocab)
    assert RawField(preprocessing=len, postprocessing=sum).process([2, 3]) == 5


def test_special_words_stand_first_in_the_order_of_the_documentation():
    field = Field(init_token="<s>", eos_token="</s>", unk_token="<u>")
    field.build_vocab([["b", "a", "<s>", "b"]], specials=["<x>", "<pad>"])
    assert field.vocab.itos == ["<u>", "<pad>", "<s>", "</s>", "<x>", "b", "a"]
    assert field.vocab.stoi["never met"] == 0
    assert "never met" not in field.vocab.stoi  # asking adds nothing
    assert field.vocab.freqs == Counter(b=2, a=1) + Counter({"<s>": 1})


@pytest.fixture(scope="module")
def split():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_tokenizer("spacy")


@hypothesis.given(text=strategies.text(strategies.sampled_from("ab. 'nt$5\n\t\xa0-("), max_size=12))
@hypothesis.example(text="don't  stop")
@hypothesis.example(text=" 5km (U.S.)\n")
def test_spacy_tokens_are_spacys_own_white_space_included(split, text):
    assert split(text) == [token.text for token in BLANK.tokenizer(text)]


BLANK = spacy.blank("en")


@QUIET
def test_the_language_of_a_pipeline_is_enough():
    german = Field(tokenize="spacy", tokenizer_language="de_core_news_sm")
    assert german.preprocess("Z.B. heute.") == [token.text for token in spacy.blank("de")("Z.B. heute.")]
    with pytest.raises(RecipeError, match="'qq'"):
        Field(tokenize="spacy", tokenizer_language="qq")


def test_spacy_without_a_pipeline_is_said():
    with pytest.warns(UserWarning, match=r"spacy.blank\('en'\).*No trained pipeline"):
        Field(tokenize="spacy")


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Field(tokenize="moses"), "'moses' needs a package"),
        (lambda: Field(tokenize="spaCy"), 'must be a function, "spacy"'),
        (lambda: Field(tokenize="basic_english", tokenizer_language="de"), 'for "en" alone'),
        (lambda: Field(use_vocab=False, dtype=torch.bool), "dtype must be one of"),
        (lambda: Field(fix_length=2, init_token="<", eos_token=">"), "fix_length must be 3 or more"),
        (lambda: Field(sequential=False, include_lengths=True), "include_lengths is for sequences"),
        (lambda: Field(stop_words="the"), "stop_words must be words in a list"),
        (lambda: LabelField(sequential=True), "LabelField has sequential=False"),
        (lambda: Field().process([["a"]]), "no vocabulary yet: call its build_vocab"),
        (lambda: Field().build_vocab(), "no column of this field"),
        (lambda: Field(pad_token=None).pad([["a"], []]), "pad_token is None"),
        (lambda: with_words(Field(include_lengths=True), "a").numericalize([["a"]]), "takes a pair"),
    ],
)
def test_wrong_arguments_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Field().preprocess(5), "takes a string or a list, but the value is 5"),
        (lambda: LabelField().preprocess(None), "missing"),
        (lambda: LabelField().build_vocab([["a", "b"]]), r"\['a', 'b'\] cannot be counted"),
        (lambda: LabelField().build_vocab([1, "1"]), "must be of one type, but are int, str"),
        (lambda: Field(sequential=False, use_vocab=False).process(["a"]), "takes numbers .*none in"),
        (lambda: Field(use_vocab=False).process([["1"], []]), "needs pad_token=0"),
        (lambda: with_words(Field(), "a").process([[["a"]]]), "no word or label"),
        (lambda: with_words(Field(unk_token=None), "a").process([["b"]]), "'b' is none of the 2 entries"),
    ],
)
def test_values_that_do_not_fit_are_named(make, words):
    with pytest.raises(DataError, match=words):
        make()
