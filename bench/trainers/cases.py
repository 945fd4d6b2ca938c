"""What is trained: four recipes, small enough for two cores."""

from pathlib import Path

RECIPE = """
[data]
train = "{data}"
validation = "none"
test = "{data}"

[text]
vocabulary_size = 10_000
max_tokens = {max_tokens}

[model]
{model}

[optim]
kind = "adam"
learning_rate = 1e-3

[train]
steps = {steps}
step_size = "64 examples"
precision = "float32"
checkpoint_steps = 1_000_000

[evaluate]
baseline = false
"""
LSTM = 'kind = "lstm"\nembedding = 100\nhidden = 256\ndropout = 0.5'
TRANSFORMER = 'kind = "transformer"\nembedding = 128\nlayers = 2\nheads = 4\nfeed_forward = 512\ndropout = 0.1'

# name -> data, model, longest document, steps (three epochs of the short texts, most of one of the long)
CASES = {
    "lstm, movie-sentences": ("movie-sentences", LSTM, 4096, 399),
    "transformer, movie-sentences": ("movie-sentences", TRANSFORMER, 4096, 399),
    "lstm, reuters-r8": ("reuters-r8", LSTM, 256, 60),
    "transformer, reuters-r8": ("reuters-r8", TRANSFORMER, 256, 60),
}
BATCH_EXAMPLES = 64
LEARNING_RATE = 1e-3
SEED = 1


def write_recipe(case: str, folder: Path, steps: int | None = None) -> Path:
    """The case as a recipe file; `steps` beats its own."""
    data, model, max_tokens, its_steps = CASES[case]
    path = folder / f"{list(CASES).index(case)}-{steps or its_steps}.toml"
    path.write_text(RECIPE.format(data=data, model=model, max_tokens=max_tokens, steps=steps or its_steps))
    return path
