"""Models that read one text and write another, and the searches over them."""

import pytest
import torch
from torch import nn

from cluster.config.models import Seq2Seq, Seq2SeqLstm
from cluster.data.marks import end_of, mark_of
from cluster.decoding import Search, beam_search, greedy, written
from cluster.models.build import build_model
from cluster.models.language import Spoken
from cluster.models.writing import rows_of

ROWS = 30
CONFIGS = {
    "seq2seq": Seq2Seq(embedding=16, heads=2, encoder_layers=2, decoder_layers=2, feed_forward=24),
    "seq2seq-lstm": Seq2SeqLstm(embedding=12, hidden=16, layers=2),
}
LENGTHS = torch.tensor([7, 3, 1, 5])


@pytest.fixture(params=CONFIGS)
def model(request):
    torch.manual_seed(3)
    built = build_model(CONFIGS[request.param], ROWS, ROWS).double().eval()
    with torch.no_grad():  # so sure of what it says that rounding decides nothing, and that it ends now and then
        built.words.weight.mul_(3)
        built.words.weight[end_of(ROWS)] *= 1.5
    return built


@pytest.fixture
def texts():
    torch.manual_seed(4)
    tokens = torch.randint(2, ROWS - 2, (len(LENGTHS), int(LENGTHS.max())))
    return torch.where(torch.arange(tokens.shape[1]) < LENGTHS[:, None], tokens, 0)


class Anew:
    """Nothing is kept: all that was written is read again for each token."""

    def __init__(self, model):
        self.model, self.words = model, model.words

    def read(self, tokens, lengths):
        return Unkept(tokens, lengths, torch.empty(len(tokens), 1, 0, dtype=torch.int64))

    def write_on(self, tokens_BW, kept):
        kept.said_BWL = torch.cat([kept.said_BWL, tokens_BW[..., None]], 2)
        ways = kept.said_BWL.shape[1]
        states = [self.model(kept.tokens, kept.lengths, kept.said_BWL[:, way]).states_BTD[:, -1] for way in range(ways)]
        return Spoken(torch.stack(states, 1), self.words.weight, None)


class Unkept:
    def __init__(self, tokens, lengths, said_BWL):
        self.tokens, self.lengths, self.said_BWL = tokens, lengths, said_BWL

    def follow(self, parents_BW):
        self.said_BWL = rows_of(self.said_BWL, parents_BW)

    def only(self, texts_B):
        return Unkept(self.tokens[texts_B], self.lengths[texts_B], self.said_BWL[texts_B])


@pytest.mark.parametrize("beam", [1, 3])
def test_what_is_kept_changes_no_word(model, texts, beam):
    search = Search(beam)
    kept = written(model, texts, LENGTHS, search)
    assert kept == written(Anew(model), texts, LENGTHS, search)
    assert any(kept) and len({len(one) for one in kept}) > 1


@pytest.mark.parametrize("penalty", [0.0, 0.6])
def test_a_beam_of_one_takes_the_most_probable_token_each_time(model, texts, penalty):
    assert beam_search(model, texts, LENGTHS, Search(1, penalty)) == greedy(model, texts, LENGTHS)


@pytest.mark.parametrize("beam", [1, 4])
def test_a_text_is_written_the_same_alone_and_in_company(model, texts, beam):
    together = written(model, texts, LENGTHS, Search(beam))
    for text, length, said in zip(texts, LENGTHS, together, strict=True):
        assert written(model, text[None, :length], length[None], Search(beam)) == [said]


def test_padding_and_later_tokens_change_nothing_before_them(model, texts):
    before = torch.randint(2, ROWS - 2, (len(texts), 6))
    whole = model(texts, LENGTHS, before).states_BTD
    wide = model(torch.cat([texts, torch.zeros_like(texts)], 1), LENGTHS, before).states_BTD
    assert torch.allclose(whole, wide, atol=1e-12)
    before[:, 4:] = 2
    assert torch.allclose(whole[:, :4], model(texts, LENGTHS, before).states_BTD[:, :4], atol=1e-12)


class Chain:
    """Says the next token by the last one alone, from a table of probabilities; row ROWS of it is the first."""

    def __init__(self, table):
        self.words = nn.Embedding(ROWS, ROWS)
        self.words.weight.data = torch.eye(ROWS)
        self.table = torch.full((ROWS, ROWS), 1e-9)
        self.table[[row for row in range(ROWS) if row not in table], 8] = 1.0  # what leads nowhere
        for row, its in table.items():
            for column, probability in its.items():
                self.table[row, column] = probability

    def read(self, tokens, lengths):
        return self

    def follow(self, parents):
        pass

    def only(self, texts):
        return self

    def write_on(self, tokens_BW, kept):
        return Spoken(self.table[tokens_BW].log(), self.words.weight, None)


BEGIN, END = mark_of(ROWS), end_of(ROWS)
# 5 is likelier at first, but leads nowhere; 6 is surely followed by 7 and the end.
TRAP = {BEGIN: {5: 0.6, 6: 0.4}, 5: {END: 0.3, 8: 0.25, 9: 0.25}, 6: {7: 1.0}, 7: {END: 1.0}, 8: {8: 0.9}, 9: {9: 0.9}}


@pytest.mark.parametrize(
    "beam, penalty, expected",
    [
        (1, 0.0, [5]),  # what is likeliest at first
        (2, 0.0, [6, 7]),  # 0.4 beats 0.6 x 0.3
        (4, 0.0, [6, 7]),
    ],
)
def test_a_wider_search_finds_the_likelier_text(beam, penalty, expected):
    assert written(Chain(TRAP), torch.tensor([[4]]), torch.tensor([1]), Search(beam, penalty)) == [expected]


def test_the_length_penalty_favours_longer_texts():
    # nothing at all: 0.4; "5 6 7": 0.6 x 0.9 x 0.9 x 0.8 = 0.39
    table = {BEGIN: {END: 0.4, 5: 0.6}, 5: {6: 0.9, 8: 0.1}, 6: {7: 0.9, 8: 0.1}, 7: {END: 0.8, 8: 0.2}, 8: {8: 1.0}}
    text = torch.tensor([[4]]), torch.tensor([1])
    assert written(Chain(table), *text, Search(3, 0.0)) == [[]]
    assert written(Chain(table), *text, Search(3, 1.0)) == [[5, 6, 7]]


def test_a_text_without_end_is_cut():
    endless = Chain({BEGIN: {5: 1.0}, 5: {5: 1.0}})
    for beam in (1, 2):
        (said,) = written(endless, torch.tensor([[4, 4]]), torch.tensor([2]), Search(beam))
        assert said == [5] * 51
