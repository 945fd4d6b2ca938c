"""Special tokens around one text and around two, from the post-processors that `tokenizers` writes."""

import json

import pytest
from tokenizers import Tokenizer, models, processors

from cluster.config.layout import Pair, around, pair_of

IDS = {"[CLS]": 1, "[SEP]": 2, "</s>": 2, "<s>": 0}


def written(processor):
    """As tokenizer.json holds it."""
    tokenizer = Tokenizer(models.WordLevel({"a": 9}, "a"))
    tokenizer.post_processor = processor
    return json.loads(tokenizer.to_str())["post_processor"]


def template(single, pair, *names):
    special = [(name, IDS[name]) for name in names]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=special)


BERT = template("[CLS] $A [SEP]", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", "[CLS]", "[SEP]")
TYPED = (0, 0, 0, 1, 1)


@pytest.mark.parametrize(
    "processor, one, two",
    [
        (BERT, ((1,), (2,)), Pair((1,), (2,), (2,), TYPED)),
        (processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1)), ((1,), (2,)), Pair((1,), (2,), (2,), TYPED)),
        (processors.RobertaProcessing(("</s>", 2), ("<s>", 0)), ((0,), (2,)), Pair((0,), (2, 2), (2,), (0,) * 6)),
        (processors.Sequence([processors.ByteLevel(), BERT]), ((1,), (2,)), Pair((1,), (2,), (2,), TYPED)),
        (template("<s> $A", "<s> $A </s> </s> $B", "<s>", "</s>"), ((0,), ()), Pair((0,), (2, 2), (), (0,) * 5)),
        (template("$A [SEP]", "$A [SEP] $B [SEP]", "[SEP]"), ((), (2,)), None),  # no place of no answer
        (template("[CLS] $A", "[CLS] $B [SEP] $A", "[CLS]", "[SEP]"), ((1,), ()), None),
        (processors.ByteLevel(), ((), ()), None),
    ],
)
def test_what_stands_around_texts(processor, one, two):
    assert around(written(processor)) == one
    assert pair_of(written(processor)) == two
    assert around(None) == ((), ()) and pair_of(None) is None
