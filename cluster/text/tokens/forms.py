"""What becomes of a token: left out, its lemma, or itself; in lower case if asked."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Any

from cluster.config.schema import Text
from cluster.errors import RecipeError


class Forms:
    """Stop words and punctuation as spaCy's `is_stop` and `is_punct` see the token, then lemmas, then lower case.

    Each distinct token is looked at once. `language` is the spaCy pipeline whose tokens they are; its vocabulary grows
    by the tokens. None will do for settings that `keeps_all`. Raises RecipeError if spaCy has no stop words to drop, or
    no table of lemmas.
    """

    def __init__(self, language: Any, text: Text) -> None:
        self._text, self._alike = text, keeps_all(text)
        self._vocab: Any = None if language is None else language.vocab
        if text.stop_words == "drop" and not language.Defaults.stop_words:
            raise RecipeError(
                f'text.stop_words = "drop": spaCy lists no stop words for text.language = {text.language!r}. '
                'Use "keep".'
            )
        self._lemmatizer: Any = _lemmatizer(language) if text.lemmas == "table" else None
        self._known: dict[str, str] = {}

    def __call__(self, tokens: Iterable[str]) -> list[str]:
        """The forms of tokens, none of which is white space."""
        if self._alike:
            return [token.lower() for token in tokens] if self._text.lower else list(tokens)
        return [form for form in map(self.of, tokens) if form]

    def each(self, tokens: Sequence[str]) -> Sequence[str]:
        """The form of each token; empty for one that is left out."""
        if self._alike:
            return list(map(str.lower, tokens)) if self._text.lower else tokens
        return list(map(self.of, tokens))

    def of(self, token: str) -> str:
        """The form of one token; empty if it is left out."""
        if self._alike:
            return token.lower() if self._text.lower else token
        try:
            return self._known[token]
        except KeyError:
            form = self._known[token] = self._find(token)
            return form

    def _find(self, token: str) -> str:
        lexeme = self._vocab[token]
        if self._text.stop_words == "drop" and lexeme.is_stop:
            return ""
        if self._text.punctuation == "drop" and lexeme.is_punct:
            return ""
        form = token if self._lemmatizer is None else self._lemma(token)
        return form.lower() if self._text.lower else form

    def _lemma(self, token: str) -> str:
        from spacy.tokens import Doc

        lemma: str = self._lemmatizer.lemmatize(Doc(self._vocab, words=[token])[0])[0]
        return lemma or token


def keeps_all(text: Text) -> bool:
    """Is no token left out, nor (but for the lemmas that a pipeline finds) put in another's place?"""
    return text.stop_words == text.punctuation == "keep" and text.lemmas != "table"


def _lemmatizer(language: Any) -> Any:
    """spaCy's lemmatizer of the language in its mode "lookup", which looks at nothing but the token."""
    code = language.lang
    if find_spec("spacy_lookups_data") is None:  # spaCy finds its tables through an entry point
        raise RecipeError('text.lemmas = "table" needs spaCy\'s tables: pip install spacy-lookups-data')
    try:
        pipe = language.create_pipe("lemmatizer", config={"mode": "lookup"})
        pipe.initialize(nlp=language)
    except (ImportError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(
            f'text.lemmas = "table": there is no table of lemmas for text.language = {code!r} ({reason[:300]}). '
            'Use text.lemmas = "none", or "pipeline" with a trained one.'
        ) from None
    return pipe
