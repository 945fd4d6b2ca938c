"""What splits texts into tokens, by the names that torchtext gave it."""

import re
from collections.abc import Callable

from cluster.compat.torchtext.ranks import tell
from cluster.config.schema import Text
from cluster.errors import InputError
from cluster.text.tokens.found import encodable
from cluster.text.tokens.words.tokenizer import Tokenizer, blank

Split = Callable[[str], list[str]]

_OTHERS = ("moses", "toktok", "revtok", "subword")
_BASIC = str.maketrans({'"': "", ";": " ", ":": " "} | {mark: f" {mark} " for mark in "'.,()!?"})
# Where spaCy makes a token of white space: at the beginning, behind another, or of another kind than a space.
_WHITE_TOKEN = re.compile(r"^\s|\s\s|[^\S ]")


def get_tokenizer(tokenizer: str | Split | None, language: str = "en") -> Split:
    """A function that gives the tokens of a text.

    None splits at white space; a callable is what it is; "spacy" are spaCy's rules for `language` ("en", or the name of
    a pipeline, "de_core_news_sm"), of which no trained pipeline is needed; "basic_english" lowers, and parts words and
    punctuation. Raises InputError for any other, RecipeError for a language that spaCy cannot tokenize here.
    """
    if tokenizer is None:
        return str.split
    if callable(tokenizer):
        return tokenizer
    if tokenizer == "spacy":
        return _SpacyTokens(language)
    if tokenizer == "basic_english":
        if language != "en":
            raise InputError(f'tokenize="basic_english" is for "en" alone, not {language!r}: use tokenize="spacy".')
        return _basic_english
    if tokenizer in _OTHERS:
        raise InputError(
            f'tokenize={tokenizer!r} needs a package that is not part of muster. Use "spacy", or give the function '
            "itself, which takes a text and gives its tokens."
        )
    raise InputError(
        f'tokenize must be a function, "spacy", "basic_english" or None (white space), but is {tokenizer!r}.'
    )


class _SpacyTokens:
    """All tokens of spaCy's tokenizer, those of white space too."""

    def __init__(self, language: str) -> None:
        code = language.partition("_")[0]
        self._text = Text(language=code, lower=False)
        self._whole = blank(self._text).tokenizer
        self._fast = Tokenizer(self._text)
        tell(
            f'tokenize="spacy": the rules of spacy.blank({code!r}) split the texts. No trained pipeline is loaded, and '
            "none need be installed."
        )

    def __call__(self, text: str) -> list[str]:
        if self._fast.by_spacy or _WHITE_TOKEN.search(text):
            return [token.text for token in self._whole(encodable(text))]
        return self._fast(text)


def _basic_english(text: str) -> list[str]:
    return text.lower().replace("<br />", " ").translate(_BASIC).split()
