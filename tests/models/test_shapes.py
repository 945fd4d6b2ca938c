"""What each model's forward promises: no document knows who is beside it, or how far it is padded."""

import pytest
import torch

from cluster.config.models import Cnn, Gru, Linear, Lstm, Mlp, Transformer
from cluster.errors import RecipeError
from cluster.models.build import build_model
from cluster.models.layers import Pool, backwards
from cluster.plan.memory import parameter_count

ROWS, OUTPUTS, TAGS = 50, 3, 6
SEQUENCES = [
    Cnn(embedding=5, filters=4),
    Cnn(embedding=5, filters=4, widths=(1, 7)),
    *(Lstm(embedding=4, hidden=6, pooling=pooling) for pooling in ("last", "mean", "max", "attention")),
    *(Lstm(embedding=4, hidden=6, bidirectional=True, layers=2, pooling=p) for p in ("last", "attention")),
    Gru(embedding=4, hidden=6, bidirectional=True),
    Gru(embedding=4, hidden=6, layers=2, pooling="max"),
    *(Transformer(embedding=8, heads=2, feed_forward=16, pooling=p) for p in ("mean", "max", "attention")),
]
BAGS = [Linear(), Mlp(hidden=(7,)), Mlp(hidden=(7, 5)), Mlp(hidden=(7, 5), embedding=6)]
DOCUMENTS = [[7], [3, 1, 4, 1, 5, 9, 2, 6], [8, 2], [11, 12, 13]]


def built(config, tags=0, **more):
    torch.manual_seed(3)
    return build_model(config, ROWS, OUTPUTS, tags, **more).eval()


def padded(documents, extra=0):
    longest = max(map(len, documents)) + extra
    tokens = torch.tensor([[*document, *[0] * (longest - len(document))] for document in documents])
    return tokens, torch.tensor([len(document) for document in documents])


@pytest.mark.parametrize("tags", [0, TAGS])
@pytest.mark.parametrize("config", SEQUENCES, ids=repr)
def test_a_document_is_the_same_alone_in_company_and_padded(config, tags):
    model = built(config, tags)

    def said(documents, extra):
        tokens, lengths = padded(documents, extra)
        return model(tokens, lengths, tokens % (tags - 1) + (tokens > 0) if tags else None)

    together = said(DOCUMENTS, extra=5)
    assert together.shape == (len(DOCUMENTS), OUTPUTS)
    for row, document in enumerate(DOCUMENTS):
        torch.testing.assert_close(said([document], extra=0)[0], together[row], atol=1e-6, rtol=0)


@pytest.mark.parametrize("tags, affixes", [(0, 0), (3, 0), (0, 40), (3, 40)])
@pytest.mark.parametrize("config", SEQUENCES, ids=repr)
def test_a_word_is_the_same_alone_in_company_and_padded(config, tags, affixes):
    more = {"affix_rows": affixes, "each_token": True}
    model = built(config, tags, **more)

    def said(documents, extra):
        tokens, lengths = padded(documents, extra)
        marks = tokens % 2 + (tokens > 0)
        lanes = torch.stack([marks * (tags > 0), *(tokens * factor % 40 for factor in (3, 5, 7))], dim=-1)
        return model(tokens, lengths, lanes if affixes else marks if tags else None)

    together = said(DOCUMENTS, extra=5)
    assert together.shape == (len(DOCUMENTS), max(map(len, DOCUMENTS)) + 5, OUTPUTS)
    for row, document in enumerate(DOCUMENTS):
        alone = said([document], extra=0)[0]
        torch.testing.assert_close(alone, together[row, : len(document)], atol=1e-6, rtol=0)
    predicted = parameter_count(config, ROWS, OUTPUTS, tags, **more)
    assert predicted == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("which", [1, 2, 3])
@pytest.mark.parametrize("config", [Lstm(embedding=4, hidden=6), Transformer(embedding=8, heads=2)], ids=repr)
def test_what_stands_beside_a_word_matters(config, which):
    model = built(config, 3, affix_rows=40, each_token=True)
    tokens, lengths = padded([[7, 8]])
    beside = torch.ones(1, 2, 4, dtype=torch.int64)
    other = beside.clone()
    other[0, 0, which] = 2
    assert not torch.allclose(model(tokens, lengths, beside), model(tokens, lengths, other))


@pytest.mark.parametrize("config", BAGS, ids=repr)
def test_a_bag_says_nothing_of_each_word(config):
    with pytest.raises(RecipeError, match="reads a bag of words"):
        built(config, each_token=True)


@pytest.mark.parametrize("config", [c for c in SEQUENCES if not isinstance(c, Cnn)] + SEQUENCES[1:2], ids=repr)
def test_the_order_of_the_tokens_matters(config):
    model = built(config)
    there, back = model(*padded([DOCUMENTS[1]]), None), model(*padded([DOCUMENTS[1][::-1]]), None)
    assert not torch.allclose(there, back, atol=1e-5)


@pytest.mark.parametrize("tags", [0, TAGS])
@pytest.mark.parametrize("config", SEQUENCES, ids=repr)
def test_the_size_of_a_sequence_model_is_predicted(config, tags):
    assert parameter_count(config, ROWS, OUTPUTS, tags) == sum(p.numel() for p in built(config, tags).parameters())


@pytest.mark.parametrize("config", BAGS, ids=repr)
def test_the_size_of_a_bag_model_is_predicted(config):
    assert parameter_count(config, ROWS, OUTPUTS) == sum(p.numel() for p in built(config).parameters())


@pytest.mark.parametrize("config", BAGS, ids=repr)
def test_a_bag_is_a_matrix_product_with_weights(config):
    model = built(config)
    with torch.no_grad():
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter)
    tokens, weights = torch.tensor([7, 3, 1, 4]), torch.tensor([0.5, 1.0, 2.0, 3.0])
    said = model(tokens, torch.tensor([1, 0, 3]), weights)
    bags = torch.zeros(3, ROWS)
    bags[0, 7], bags[2, [3, 1, 4]] = 0.5, torch.tensor([1.0, 2.0, 3.0])
    if isinstance(config, Mlp) and config.embedding != "none":
        means = bags / bags.sum(dim=1, keepdim=True).clamp(min=1e-9)
        expected = model.output(model.hidden(model.first(means @ model.words.weight)))
    elif isinstance(config, Mlp):
        expected = model.output(model.hidden(bags @ model.first.words.weight + model.first.bias))
    else:
        expected = bags @ model.output.words.weight + model.output.bias
    torch.testing.assert_close(said, expected, atol=1e-5, rtol=1e-5)


def test_backwards_turns_each_documents_own_tokens_and_undoes_itself():
    values, lengths = padded([[1, 2, 3], [4], [5, 6]], extra=1)
    turned = backwards(values[..., None].float(), lengths)
    assert turned[..., 0].tolist() == [[3, 2, 1, 0], [4, 0, 0, 0], [6, 5, 0, 0]]
    assert torch.equal(backwards(turned, lengths)[..., 0], values.float())


def test_an_lstm_in_both_directions_is_torchs_on_packed_rows():
    config = Lstm(embedding=4, hidden=6, bidirectional=True)
    model = built(config)
    torchs = torch.nn.LSTM(4, 6, batch_first=True, bidirectional=True)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    with torch.no_grad():
        for name in names:
            getattr(torchs, name).copy_(getattr(model.forward_layers[0], name))
            getattr(torchs, f"{name}_reverse").copy_(getattr(model.backward_layers[0], name))
    tokens, lengths = padded(DOCUMENTS)
    embedded = model.embed(tokens, None)
    rows = torch.nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
    _, (last, _) = torchs(rows)
    expected = model.output(torch.cat([last[0], last[1]], dim=1))
    torch.testing.assert_close(model(tokens, lengths, None), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("how", ["mean", "max", "attention"])
def test_pooling_an_empty_document_is_a_number(how):
    pooled = Pool(how, 4)(torch.randn(2, 3, 4), torch.tensor([0, 3]))
    assert torch.isfinite(pooled).all()
