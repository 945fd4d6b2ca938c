import functools

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from cluster.text.tokens.words import rules, shapes
from cluster.text.tokens.words.shapes import LONGEST, Shapes
from cluster.text.tokens.words.splitting import ChunkSplitter

LANGUAGES = ("en", "de", "es", "fr", "it", "hu", "ru", "tr", "xx")
PARTS = """word Word WORD don't 's S. U.S. e.g. a.m ( ) [ ] { } < > , ; : ! ? … ... .. . - -- — / \\ " ' ’ “ ” « » $ € %
    + = _ # * & | ~ ^ ° § 1 12 1990 3.5 km m² kB l' qu' d’ été Ümlaut straße дом http:// www. .com a@b x=(y) f(x): (:
    :) 8) =( @""".split()  # noqa: SIM905
chunks = (
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join) | st.text(min_size=1, max_size=8)
).filter(lambda chunk: not any(map(str.isspace, chunk)) and chunk.isprintable())


@pytest.fixture(autouse=True, scope="module")
def every_chunk_by_its_shape():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "WORTH_CLASSES", 1)
        yield


@functools.cache
def tools(language):
    tokenizer = spacy.blank(language).tokenizer
    twin = rules._without_last_pass(tokenizer)
    cases = [case for case in tokenizer.rules if not any(map(str.isspace, case))]
    splitter = ChunkSplitter(tokenizer, {case: tuple(token.text for token in twin(case)) for case in cases})
    return twin, splitter, Shapes(splitter)


@pytest.mark.parametrize("language", LANGUAGES)
@given(some=st.lists(chunks, min_size=1, max_size=8))
def test_chunks_are_split_as_spacy_splits_them_by_shape_and_one_by_one(language, some):
    twin, splitter, by_shape = tools(language)
    split = by_shape.split(some)
    tokens = iter(split.flat)
    found = {
        place: tuple(next(tokens) for _ in range(count))
        for place, count in zip(split.places.tolist(), split.counts, strict=True)
    }
    assert sorted(found) == list(range(len(some)))
    for place, chunk in enumerate(some):
        assert found[place] == splitter(chunk) == tuple(token.text for token in twin(chunk))


@pytest.mark.parametrize("language", LANGUAGES)
def test_chunks_of_one_shape_are_told_apart_by_special_cases_and_links(language):
    twin, _, by_shape = tools(language)
    for some in (["Mrs.", "Abc.", "Dr."], ["don't", "hon't"], ["abc.com", "abc.Com", "abc.coM"], ["(U.S.)", "(X.Y.)"]):
        for chunk in some * 2:
            assert by_shape.split([chunk]).flat == [token.text for token in twin(chunk)]


def test_a_long_chunk_has_no_shape():
    twin, _, by_shape = tools("en")
    chunk = "(a-b)," * LONGEST
    assert by_shape.split([chunk]).flat == [token.text for token in twin(chunk)]
