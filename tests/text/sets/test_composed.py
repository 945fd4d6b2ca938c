"""The generated questions: the same everywhere, their answers where they say, their words in the test alone."""

import hashlib
import json

from cluster.text.sets.composed import composed
from cluster.text.sets.facts import RELATIONS
from cluster.text.sets.pinned import SETS

SMALL = {"train": 30, "validation": 5, "test": 20}


def test_answers_stand_where_they_say_and_nothing_is_asked_twice():
    for examples in composed(SMALL).values():
        assert len({(one["question"], one["context"]) for one in examples}) > 0.95 * len(examples)
        assert len({one["id"] for one in examples}) == len(examples)
        for one in examples:
            assert one["is_impossible"] == (not one["answers"])
            for answer in one["answers"]:
                start = answer["answer_start"]
                assert one["context"][start : start + len(answer["text"])] == answer["text"]
        assert 0 < sum(one["is_impossible"] for one in examples) < len(examples) / 2


def test_the_test_asks_in_words_that_training_has_not():
    for relation in RELATIONS:
        assert not set(relation.questions) & set(relation.held_out) and len(relation.held_out) >= 2
        assert all("{s}" in one for one in (*relation.questions, *relation.held_out))
        assert all("{s}" in one and "{a}" in one for one in relation.statements)
    everything = [one for relation in RELATIONS for one in (*relation.questions, *relation.held_out)]
    assert len(set(everything)) == len(everything)


def test_it_is_the_same_on_every_machine():
    made = json.dumps(composed(SMALL), sort_keys=True).encode()
    assert hashlib.sha256(made).hexdigest() == "539474a155302295aeaf1b4d3ae161efef9e7a8772ad71b894a5786ab63ccba8"


def test_it_is_called_generated_wherever_it_is_named():
    (made,) = [one for one in SETS if one.name == "made-questions"]
    assert "GENERATED" in made.title and "GENERATED" in made.origin and made.package is None
