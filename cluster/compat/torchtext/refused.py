"""Names of torchtext that are not here, each with a way out."""

from cluster.errors import InputError

_CUT_INTO_PIECES = 'a recipe with text.tokens = "bpe" learns and uses pieces of words (`muster explain text.tokens`)'
_LANGUAGE = 'a recipe with task.kind = "language" trains language models (docs/tasks.md)'
_OWN_FILES = "TabularDataset reads your files; `muster data list` shows sets that can be fetched"
_FUNCTION = "a function of your own does it: Field(tokenize=...), Field(preprocessing=...)"

WAYS_OUT = {
    "BPTTIterator": _LANGUAGE,
    "NestedField": "Field(tokenize=list) reads characters; text.affixes gives a recipe's model letters of words",
    "ReversibleField": "use Field, and put words together by TEXT.vocab.itos",
    "SubwordField": _CUT_INTO_PIECES,
    "SubwordVocab": _CUT_INTO_PIECES,
    "CharNGram": "Vectors reads text files of word2vec, GloVe and fastText",
    "TranslationDataset": 'TabularDataset reads pairs as two columns; task.kind = "rewrite" trains on them',
    "SequenceTaggingDataset": 'a recipe with task.kind = "tag" reads columns of words and labels',
    "LanguageModelingDataset": _LANGUAGE,
    "datasets": _OWN_FILES,
    "bleu_score": "the package sacrebleu scores translations",
    "generate_sp_model": _CUT_INTO_PIECES,
    "load_sp_model": _CUT_INTO_PIECES,
    "sentencepiece_numericalizer": _CUT_INTO_PIECES,
    "sentencepiece_tokenizer": _CUT_INTO_PIECES,
    "custom_replace": _FUNCTION,
    "simple_space_split": _FUNCTION,
    "numericalize_tokens_from_iterator": _FUNCTION,
    "build_vocab_from_iterator": "Field.build_vocab counts words; Vocab takes a collections.Counter",
    "legacy": "its names are here without it: from cluster.compat.torchtext import data",
    "pool": "BucketIterator pools examples by length, the same on all ranks",
}


def refusal(module: str, name: str) -> Exception:
    """What is raised for a name that a module does not have."""
    if name in WAYS_OUT:
        return InputError(f"torchtext's {name} is not supported by {module}: {WAYS_OUT[name]}.")
    return AttributeError(f"module {module!r} has no attribute {name!r}")
