import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.config.load import from_toml, from_toml_with, load, open_recipe, shipped, to_toml
from cluster.config.models import Lstm, Mlp
from cluster.config.settings import settings
from cluster.errors import PlanError, RecipeError

SMALL = '[data]\ntrain = "a.jsonl"\n[model]\nkind = "mlp"\n'


def refused(*overrides, recipe="sentiment"):
    with pytest.raises(RecipeError) as caught:
        load(recipe, overrides)
    return str(caught.value)


LANGUAGE = ["task.kind=language", "model.kind=gpt"]


@pytest.mark.parametrize(
    "overrides, said",
    [
        (["task.kind=language"], ["the mlp says one thing of a whole document", '"gpt"', '"bert"']),
        (["model.kind=gpt"], ['task.kind = "classify"', "predicts tokens, and the task asks for a label of a text"]),
        (
            ["model.kind=bert", "task.kind=regress"],
            ['task.kind = "regress"', "predicts tokens, and the task asks for a number"],
        ),
        ([*LANGUAGE, "text.weights=tfidf"], ["reads the sequence of tokens"]),
        ([*LANGUAGE, "text.stop_words=drop"], ["text.stop_words", "as it stands"]),
        ([*LANGUAGE, "text.max_tokens=100"], ["text.max_tokens = 100", "model.context"]),
        ([*LANGUAGE, "model.heads=3"], ["model.embedding = 256", "twice model.heads (3)"]),
        ([*LANGUAGE, "model.heads=8", "model.key_heads=3"], ["model.heads = 8", "model.key_heads (3)"]),
        ([*LANGUAGE, "model.context=4"], ["model.context = 4", "at least 8"]),
        ([*LANGUAGE, "model.kind=bert", "model.masked=0.7"], ["model.masked = 0.7", "at most 0.5"]),
        ([*LANGUAGE, "model.kind=bert", "model.heads=3"], ["must divide by model.heads (3)"]),
        ([*LANGUAGE, "evaluate.metric=f1_macro"], ["loss, perplexity, accuracy"]),
        (["data.label="], ['data.label = ""', "learns from labels"]),
    ],
)
def test_what_makes_no_sense_together_is_refused_with_the_reason(overrides, said):
    message = refused(*overrides)
    for words in said:
        assert words in message


def test_a_language_model_asks_for_no_label():
    recipe = load("sentiment", LANGUAGE)
    assert (recipe.data.label, recipe.text.weights, recipe.evaluate.metric) == ("", "none", "loss")
    assert from_toml(to_toml(recipe)) == recipe


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_recipes_load_and_come_back_from_toml(name):
    recipe = load(name)
    assert recipe.text.weights == ("tfidf" if recipe.model.kind == "mlp" else "none")  # settled from "auto"
    assert from_toml(to_toml(recipe)) == recipe


def test_the_promised_recipes_are_shipped():
    promised = {"sentiment", "reuters-r8", "reuters-r52", "newsgroups", "seed-lstm", "reviews-zh", "ratings"}
    assert set(shipped()) >= promised


@pytest.mark.parametrize(
    "override, value",
    [
        ("data.train=a.jsonl", "a.jsonl"),  # not TOML: text
        ("data.train=data/*.jsonl", "data/*.jsonl"),
        ('data.train="a b.jsonl"', "a b.jsonl"),
        ("data.train=['a', 'b']", ("a", "b")),
        ("data.train=2026-01-01", "2026-01-01"),  # a date, as TOML has it
        ("data.train=a\nb = 1", "a\nb = 1"),
        ("data.train=a=b", "a=b"),
        ("model.hidden=[512,256]", (512, 256)),
        ("train.steps=1_000", 1000),
        ("train.steps=auto", "auto"),
        ("train.strict=true", True),
        ("train.step_size=16384 tokens", "16384 tokens"),
        ("optim.learning_rate=1e-2", 0.01),
        ("optim.learning_rate=1", 1.0),  # a whole number where a number is asked for
        ("optim.clip_norm=inf", math.inf),
        ("evaluate.steps=3", 3),
        ("launch.device = cpu ", "cpu"),
    ],
)
def test_overrides_are_toml_and_bare_words_are_text(override, value):
    section, _, name = override.partition("=")[0].strip().partition(".")
    given = getattr(getattr(load("sentiment", [override]), section), name)
    assert given == value and type(given) is type(value)


def test_the_last_override_of_a_setting_wins_and_tables_are_their_leaves():
    recipe = load("sentiment", ["train.epochs=1", "train={epochs=2, seed=7}", "train.seed=8"])
    assert (recipe.train.epochs, recipe.train.seed) == (2, 8)


@pytest.mark.parametrize(
    "override, said",
    [
        ("task.windw=3", ["no such setting; it has kind,"]),  # the kind itself is never the word that was meant
        ("train.epoch=3", ["train.epoch = 3", "no such setting", "did you mean train.epochs?"]),
        ("train.learning_rate=3", ["did you mean optim.learning_rate?"]),
        ("trian.epochs=3", ["no such section", "train"]),
        ('text.keep_tags=["NN"]', ["text.keep_tags", '"NOUN"', '"X"']),
        ("train.epochs=2.5", ["train.epochs = 2.5", "a whole number, at least 1", "default 10"]),
        ("train.epochs=true", ["train.epochs = true", "a whole number"]),
        ("train.epochs='12'", ['train.epochs = "12"', "without quotes"]),
        ("train.epochs=0", ["train.epochs = 0", "at least 1"]),
        ("train.steps=many", ['train.steps = "many"', 'a whole number, at least 1, or "auto"']),
        ("train.seed=9223372036854775808", ["below 9223372036854775808"]),
        ("train.strict=yes", ['train.strict = "yes"', "true or false"]),
        ("train.step_size=64 rows", ['train.step_size = "64 rows"', "examples|tokens", "64 examples"]),
        ("data.text=3", ["data.text = 3", "write it in quotes"]),
        ("data.train=[]", ["data.train = []", "a list of 1 or more"]),
        ("data.bad_rows=nan", ["data.bad_rows = nan", "below 1"]),
        ("optim.learning_rate=inf", ["optim.learning_rate = inf", "finite"]),
        ("optim.kind=adm", ['optim.kind = "adm"', 'did you mean "adam"?']),
        ("model.kind=lstn", ['model.kind = "lstn"', 'or "custom"', 'did you mean "lstm"?']),
        ("model.layers=2", ["model.layers = 2", 'kind "lstm" has it']),
        ("model.hiden=[2]", ["did you mean model.hidden?"]),
        ("model.hidden=[0, 'x']", ['model.hidden = [0, "x"]', "each a whole number"]),
        ("model.hidden=[512,", ["model.hidden=[512,", "not TOML"]),
        ("data.train='abc", ["not TOML", "quotes"]),
        ("data.train.x=1", ["data.train = {x = 1}"]),
        ("train=3", ["train=3", "is a section"]),
        ("epochs=3", ["no such section", "did you mean train.epochs?"]),
        ("epochs", ["epochs", "SECTION.SETTING=VALUE"]),
        (".epochs=3", [".epochs=3", "SECTION.SETTING=VALUE"]),
        ("data.train=\udcff", ["not valid UTF-8"]),
        ("evaluate.patience=0", ["or inf"]),
    ],
)
def test_a_mistake_names_the_value_the_rule_and_the_nearest(override, said):
    message = refused(override)
    assert message.startswith("1 mistake in ")
    assert len(message.splitlines()) == 3  # a head, one line, where to read on
    for words in said:
        assert words in message


def test_all_mistakes_at_once_one_line_each():
    wrong = ["train.epoch=3", "data.train=[1]", "optim.kind=x", "foo.bar=1", "nonsense", "launch.ranks=none"]
    lines = refused(*wrong).splitlines()
    assert lines[0].startswith("6 mistakes in ")
    assert len(lines) == 8


def test_mistakes_of_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('model = 3\ntext = 1\n[foo]\na = 1\n[optim]\nlearning_rate = "0.1"\n')
    message = refused(recipe=str(path))
    for words in ("data is missing: give [data]", "model = 3: is a section", "text = 1: is a section", "foo = {a = 1}"):
        assert words in message
    assert 'optim.learning_rate = "0.1"' in message and "(command line)" not in message


@pytest.mark.parametrize(
    "contents, said",
    [
        (b"[train]\nepochs = ten\n", "line 2, column"),
        (b"[train]\n[train]\n", "line 2"),
        (b'[data]\ntrain = "\xff"\n', "not UTF-8 text (line 2)"),
        (b"", "data is missing"),
        (b"[model]\n[data]\n", "model.kind is missing"),
        (b"[data]\n[model]\nkind='mlp'\n", "data.train is missing"),
    ],
)
def test_files_that_are_no_recipe(tmp_path, contents, said):
    path = tmp_path / "bad.toml"
    path.write_bytes(contents)
    assert said in refused(recipe=str(path))


def test_an_unknown_recipe_lists_the_shipped_ones_and_the_nearest(tmp_path):
    message = refused(recipe="sentimant")
    assert "did you mean sentiment?" in message and "reuters-r52" in message
    (tmp_path / "recipe.toml").write_text(SMALL)
    assert f"did you mean {tmp_path}/recipe.toml?" in refused(recipe=str(tmp_path))


@pytest.mark.parametrize(
    "overrides, said",
    [
        (["text.weights=none"], "the mlp reads a bag of words"),
        (["model.kind=lstm", "text.weights=count"], "the lstm reads the sequence"),
        (["train.steps=10", "optim.warmup_steps=10"], "optim.warmup_steps = 10"),
        (["data.validation=none", "evaluate.patience=3"], "needs a validation split"),
        (["train.strict=true", "train.precision=bfloat16"], "train.strict needs float32"),
        (["data.train=auto"], "training needs examples"),
        (["data.label=text"], "its own label"),
        (['data.train=["auto"]'], "holds paths, globs and catalogue names alone"),
        (["data.group=label"], "name a field that several examples share"),
        (["text.tokens=jieba"], 'text.language = "en"; use "zh"'),
        (['text.keep_tags=["NOUN"]'], "name one with text.pipeline"),
        (["model.kind=lstm", "text.tags=true"], "name one with text.pipeline"),
        (["text.pipeline=x", "text.tags=true"], "text.keep_tags can filter them"),
        (["text.lemmas=pipeline"], "name the pipeline with text.pipeline"),
        (["text.pipeline=x", "text.tokens=characters"], "finds tags of words"),
        (["text.tokens=bpe", "text.stop_words=drop"], "pieces of words are neither"),
        (["text.tokens=bpe", "text.vocabulary_size=255"], "use 256 or more"),
        (["model.kind=transformer", "model.embedding=10", "model.heads=4"], "must divide by model.heads (4)"),
        (["model.vectors=v.txt"], "the first layer has no word embeddings"),
        (["model.kind=lstm", "model.vectors=v.txt", "text.tokens=bpe"], "has pieces of words"),
        (["model.kind=lstm", "model.vectors=v.txt", "model.start_from=r"], "leave one out"),
        (["model.kind=lstm", "model.freeze_vectors=true"], "there are no vectors to freeze"),
        (
            ["model.kind=lstm", "model.vectors=v.txt", "model.freeze_vectors=true", "optim.weight_decay=0.1"],
            "would shrink them",
        ),
        *(
            ([f"model.kind={kind}", f"task.kind={task}", "model.vectors=v.txt", "model.freeze_vectors=true"], said)
            for kind, task, said in (
                ("gpt", "language", "the output of the gpt has the same weights"),
                ("bert", "language", "the output of the bert has the same weights"),
                ("seq2seq", "rewrite", "the output of the seq2seq has the same weights"),
                ("seq2seq-lstm", "rewrite", "the output of the seq2seq-lstm has the same weights"),
                ("skipgram", "embed", "vectors are what the skipgram is there to learn"),
            )
        ),
        (["model.kind=gpt", "task.kind=language", "model.vectors=v.txt", "text.tokens=bpe"], "has pieces of words"),
        (["model.kind=custom", "model.factory=a:b", "model.size=c"], "package.module:function"),
        (["task.kind=regress", "evaluate.metric=accuracy"], "has mse, mae, r2, spearman, loss"),
    ],
)
def test_settings_that_contradict_each_other(overrides, said):
    assert said in refused(*overrides)


def test_more_ranks_than_a_run_can_ever_use():
    with pytest.raises(PlanError) as caught:
        load("sentiment", ["launch.ranks=17"])
    assert str(caught.value) == (
        "launch.ranks (17) exceeds train.max_ranks (16): a step has at most 16 micro-batches to share out. "
        "Use at most 16 ranks, or start a new run with a larger train.max_ranks."
    )
    assert load("sentiment", ["launch.ranks=17", "train.max_ranks=17"]).launch.ranks == 17


def test_another_model_kind_leaves_out_what_has_no_meaning_for_it_and_says_so():
    loaded = open_recipe("sentiment", ["model.kind=lstm", "model.layers=2"])
    assert loaded.recipe.model == Lstm(layers=2, dropout=0.5)  # dropout, which both have, stays the file's
    assert loaded.recipe.text.weights == "none"
    assert len(loaded.notes) == 1 and "model.hidden = [256]" in loaded.notes[0] and '"lstm"' in loaded.notes[0]
    assert open_recipe("sentiment", ["model.kind=mlp"]).notes == ()
    # What the command line itself gives wrongly is a mistake, not left out.
    assert "model.hidden = [5]" in refused("model.kind=lstm", "model.hidden=[5]")


def test_a_run_that_has_begun_takes_launch_settings_only():
    text = to_toml(load("sentiment"))
    assert from_toml_with(text, ["launch.ranks=3"]).launch.ranks == 3
    with pytest.raises(RecipeError, match="train.epochs: a run that has begun takes launch"):
        from_toml_with(text, ["train.epochs=3", "launch.ranks=3"])
    with pytest.raises(PlanError):
        from_toml_with(text, ["launch.ranks=300"])


@given(
    train=st.one_of(st.text(st.characters(codec="utf-8"), min_size=1), st.tuples(st.text("ab\"'\\\n", min_size=1))),
    hidden=st.lists(st.integers(1, 10**12), min_size=1).map(tuple),
    seed=st.integers(0, 2**63 - 1),
    rate=st.floats(min_value=0, exclude_min=True, allow_nan=False, allow_infinity=False),
    patience=st.one_of(st.just(math.inf), st.integers(1, 99)),
)
def test_a_recipe_survives_its_run_folder(train, hidden, seed, rate, patience):
    if train in ("auto", "none"):
        return
    recipe = from_toml(SMALL)
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, train=train),
        model=Mlp(hidden=hidden),
        train=dataclasses.replace(recipe.train, seed=seed),
        optim=dataclasses.replace(recipe.optim, learning_rate=rate),
        evaluate=dataclasses.replace(recipe.evaluate, patience=patience),
    )
    assert from_toml(to_toml(recipe)) == recipe


STRANGE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)
NAMES = [f"{one.section}.{one.name}" for one in settings()] + ["trian.epochs", "train.epoch", "train", ""]


@given(st.dictionaries(st.sampled_from(NAMES), STRANGE, min_size=1, max_size=4))
def test_strange_values_give_a_recipe_or_a_recipe_error(values):
    overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    try:
        recipe = load("sentiment", overrides)
    except RecipeError as error:
        assert str(error)
    else:
        assert from_toml(to_toml(recipe)) == recipe
