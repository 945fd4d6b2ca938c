"""Counts of five tokens in a row, against the definition written out slowly."""

from collections import defaultdict

import numpy as np
import pytest

from cluster import ngrams
from cluster.ngrams import ORDER, log_probabilities

MARK, WORDS = 7, range(1, 7)  # 0 is never asked for


def documents(seed, count, longest=12):
    rng = np.random.default_rng(seed)
    return [
        [MARK, *rng.choice(6, rng.integers(1, longest), p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05]) + 1] for _ in range(count)
    ]


def flat(given):
    return np.array(sum(given, []), dtype=np.uint16), np.array([len(one) for one in given], dtype=np.uint32)


def rows_of(given, order):
    """Every run of `order` tokens that ends where one is asked for."""
    for one in given:
        padded = [MARK] * (ORDER - 2) + [int(token) for token in one] + [MARK]
        for end in range(ORDER - 1, len(padded)):
            yield tuple(padded[end - order + 1 : end + 1])


class Slow:
    def __init__(self, given, choices):
        self.choices, self.counts = choices, {}
        for order in range(1, ORDER + 1):
            counts = defaultdict(int)
            if order == ORDER:
                for row in rows_of(given, order):
                    counts[row] += 1
            else:
                for row in set(rows_of(given, order + 1)):
                    counts[row[1:]] += 1
            self.counts[order] = counts

    def probability(self, row):
        order = len(row)
        if order == 0:
            return 1 / self.choices
        counts = self.counts[order]
        n = [sum(value == number for value in counts.values()) for number in range(5)]
        if all(n[1:]):
            base = n[1] / (n[1] + 2 * n[2])
            discount = [0.0, *(min(max(k - (k + 1) * base * n[k + 1] / n[k], 0), k) for k in (1, 2, 3))]
        else:
            discount = [0.0, 0.75, 0.75, 0.75]
        its = [value for key, value in counts.items() if key[:-1] == row[:-1]]
        if not its:
            return self.probability(row[1:])
        left = sum(discount[min(value, 3)] for value in its)
        taken = counts[row] - discount[min(counts[row], 3)] if row in counts else 0.0
        return (taken + left * self.probability(row[1:])) / sum(its)


@pytest.mark.parametrize("size", [2, 60])  # too short to tell discounts, and long enough
def test_probabilities_are_those_of_the_definition_and_add_up(size):
    train, scored = documents(1, size), documents(2, 15)
    found = log_probabilities(*flat(train), *flat(scored), MARK, choices=7)
    slow = Slow(train, choices=7)
    wanted = [slow.probability(row) for row in rows_of(scored, ORDER)]
    assert np.exp(found) == pytest.approx(wanted)
    for history in {row[:-1] for row in rows_of(scored, ORDER)}:
        assert sum(slow.probability((*history, token)) for token in (*WORDS, MARK)) == pytest.approx(1.0)


def test_a_text_it_was_fitted_to_is_less_of_a_surprise():
    train, other = documents(1, 200), documents(3, 200)
    known = log_probabilities(*flat(train), *flat(train), MARK, choices=7).mean()
    assert known > log_probabilities(*flat(train), *flat(other), MARK, choices=7).mean()
    assert ngrams.ORDER == 5
