from launch.scores import baseline, comparison, per_class

SCORES = {
    "accuracy": 0.75,
    "precision": {"per_class": {"neg": 0.5, "pos": 1.0}},
    "recall": {"per_class": {"neg": 1.0, "pos": 2 / 3}},
    "f1": {"macro": 0.7333, "weighted": 0.7667, "per_class": {"neg": 2 / 3, "pos": 0.8}},
    "loss": 0.5,
    "examples": 4000,
    "labels": ["neg", "pos"],
    "confusion": [[1000, 0], [1000, 2000]],
}


def test_model_beside_baseline():
    assert comparison(SCORES, {"accuracy": 0.7, "f1_macro": 0.69, "seconds": 2.0}).splitlines() == [
        "              model  TF-IDF + logistic regression",
        "accuracy     0.7500                        0.7000",
        "F1 macro     0.7333                        0.6900",
        "F1 weighted  0.7667",
        "loss         0.5000",
        "4,000 examples",
    ]
    assert baseline({"accuracy": 0.7, "f1_macro": 0.69, "seconds": 2.0}).endswith("fitted in 2.0 s")


def test_model_alone_and_labels_never_seen():
    shown = comparison({**SCORES, "loss": None, "unknown_labels": {"meh": 3, "x" * 99: 1}}, None)
    assert "logistic" not in shown
    assert "4 have labels that training never saw" in shown and "meh (3)" in shown and "x" * 40 not in shown


def test_each_class():
    lines = per_class(SCORES).splitlines()
    assert lines[1].split() == ["neg", "0.5000", "1.0000", "0.6667", "1,000"]
    assert lines[2].split() == ["pos", "1.0000", "0.6667", "0.8000", "3,000", "neg", "(1,000)"]


def test_the_row_of_unknown_labels_is_no_class():
    assert len(per_class({**SCORES, "confusion": [*SCORES["confusion"], [1, 2]]}).splitlines()) == 3
