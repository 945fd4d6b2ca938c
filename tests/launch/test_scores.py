from launch.scores import baseline, comparison, headline, per_class

SCORES = {
    "accuracy": 0.75,
    "precision": {"per_class": {"neg": 0.5, "pos": 1.0}},
    "recall": {"per_class": {"neg": 1.0, "pos": 2 / 3}},
    "f1": {"macro": 0.7333, "weighted": 0.7667, "per_class": {"neg": 2 / 3, "pos": 0.8}},
    "loss": 0.5,
    "examples": 4000,
    "labels": ["neg", "pos"],
    "support": {"neg": 1000, "pos": 3000},
    "confusion": [[1000, 0], [1000, 2000]],
}


def test_model_beside_baseline():
    known = {"model": "TF-IDF + logistic regression (scikit-learn)", "accuracy": 0.7, "f1_macro": 0.69, "seconds": 2.0}
    assert comparison(SCORES, known).splitlines() == [
        "              model  TF-IDF + logistic regression",
        "accuracy     0.7500                        0.7000",
        "F1 macro     0.7333                        0.6900",
        "F1 weighted  0.7667",
        "loss         0.5000",
        "4,000 examples",
    ]
    assert baseline(known).endswith("fitted in 2.0 s")


def test_numbers_and_sets_of_labels_beside_their_baselines():
    numbers = {"task": "regress", "mse": 0.5, "mae": 0.25, "r2": -0.125, "spearman": 0.75, "examples": 7}
    assert comparison(numbers, {"model": "ridge", "mse": 0.625, "r2": 0.0}).splitlines()[1:] == [
        "MSE        0.5000  0.6250",
        "MAE        0.2500",
        "R2        -0.1250  0.0000",
        "Spearman   0.7500",
        "7 examples",
    ]
    assert headline(numbers) == "MSE 0.5000"
    assert per_class(numbers) == ""
    sets = {name: value for name, value in SCORES.items() if name != "confusion"} | {"task": "multilabel"}
    sets["f1"] = SCORES["f1"] | {"micro": 0.5}
    assert comparison(sets, None).splitlines()[1] == "F1 micro     0.5000"
    assert per_class(sets).splitlines()[0].endswith("examples")


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
