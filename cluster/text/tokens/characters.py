"""Texts as their characters."""

from collections.abc import Iterable, Iterator

from cluster.config.schema import Text
from cluster.text.tokens.forms import Forms, keeps_all
from cluster.text.tokens.found import Found, encodable
from cluster.text.tokens.words.tokenizer import blank


class Characters:
    """The characters of a text without white space, in the forms that the settings ask for.

    They are what spaCy's tokenizer of Chinese gives (its segmenter "char"), without its detours. Raises RecipeError as
    `Forms` does.
    """

    by_spacy = False

    def __init__(self, text: Text) -> None:
        # A language is asked only if it is needed: characters without any filter can be had of every one.
        self._forms = Forms(None if keeps_all(text) else blank(text), text)

    def each(self, texts: Iterable[str]) -> Iterator[Found]:
        """The characters of one text after the other."""
        for text in texts:
            yield self._forms("".join(encodable(text).split())), b""
