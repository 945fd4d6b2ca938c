"""The reference set-up written down plainly, as someone would who knows torch and spaCy by their tutorials.

    python -m bench.seed_transcription TRAIN.jsonl TEST.jsonl [--seed 1] [--epochs 10] [--states packed|gathered]

Nothing of muster is used here: this is what `bench/seed.py` holds the recipe `seed-lstm` against. Texts are split by
spaCy's English tokenizer, one at a time, and put in lower case; the vocabulary holds the 10,000 most frequent words;
batches of 64 hold documents of similar length (torchtext's BucketIterator: shuffle, sort within every hundred batches,
shuffle the batches). Nothing is made slow on purpose: torch keeps its default threads, padding is left out by packing,
as the tutorials do (`--states gathered` reads the last state out of padded batches instead), and nothing is saved.

The last line of the output is JSON.
"""

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import spacy
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

VOCABULARY_SIZE = 10_000
BATCH_EXAMPLES = 64
CHUNK_BATCHES = 100
PADDING, UNKNOWN = 0, 1

Example = tuple[Tensor, int]


def read(path: Path) -> tuple[list[str], list[str]]:
    texts, labels = [], []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            texts.append(row["text"])
            labels.append(row["label"])
    return texts, labels


class Classifier(nn.Module):
    """Embedding 100, LSTM 256, dropout 0.5 on the last hidden state, one linear layer."""

    def __init__(self, vocabulary_rows: int, classes: int, states: str) -> None:
        super().__init__()
        self.states = states
        self.embedding = nn.Embedding(vocabulary_rows, 100, padding_idx=PADDING)
        self.lstm = nn.LSTM(100, 256, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(256, classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits (batch, classes) of padded tokens (batch, longest)."""
        embedded = self.embedding(tokens)
        if self.states == "packed":
            packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
            _, (hidden, _) = self.lstm(packed)
            last = hidden[-1]
        else:
            states, _ = self.lstm(embedded)
            last = states[torch.arange(len(lengths)), lengths - 1]
        logits: Tensor = self.output(self.dropout(last))
        return logits


def buckets(examples: list[Example], chance: random.Random) -> Iterator[list[Example]]:
    """Batches of one epoch."""
    examples = chance.sample(examples, len(examples))
    for start in range(0, len(examples), BATCH_EXAMPLES * CHUNK_BATCHES):
        chunk = sorted(examples[start : start + BATCH_EXAMPLES * CHUNK_BATCHES], key=lambda example: len(example[0]))
        batches = [chunk[i : i + BATCH_EXAMPLES] for i in range(0, len(chunk), BATCH_EXAMPLES)]
        chance.shuffle(batches)
        yield from batches


def collate(batch: list[Example]) -> tuple[Tensor, Tensor, Tensor]:
    tokens = pad_sequence([tokens for tokens, _ in batch], batch_first=True, padding_value=PADDING)
    lengths = torch.tensor([len(tokens) for tokens, _ in batch])
    return tokens, lengths, torch.tensor([label for _, label in batch])


def accuracy(model: nn.Module, examples: list[Example]) -> float:
    model.eval()
    ordered = sorted(examples, key=lambda example: len(example[0]))
    right = 0
    with torch.no_grad():
        for start in range(0, len(ordered), BATCH_EXAMPLES):
            tokens, lengths, labels = collate(ordered[start : start + BATCH_EXAMPLES])
            right += int((model(tokens, lengths).argmax(1) == labels).sum())
    return right / len(examples)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.seed_transcription", description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--states", choices=["packed", "gathered"], default="packed")
    options = parser.parse_args()
    began = time.perf_counter()
    torch.manual_seed(options.seed)
    chance = random.Random(options.seed)

    train_texts, train_labels = read(options.train)
    test_texts, test_labels = read(options.test)
    tokenizer = spacy.blank("en").tokenizer
    train_words = [[token.text.lower() for token in tokenizer(text)] for text in train_texts]
    test_words = [[token.text.lower() for token in tokenizer(text)] for text in test_texts]
    counts = Counter(word for words in train_words for word in words)
    vocabulary = {word: row for row, (word, _) in enumerate(counts.most_common(VOCABULARY_SIZE), start=2)}
    names = {name: index for index, name in enumerate(sorted(set(train_labels)))}

    def numbers(words: list[list[str]], labels: list[str]) -> list[Example]:
        return [
            (torch.tensor([vocabulary.get(word, UNKNOWN) for word in text]), names[label])
            for text, label in zip(words, labels, strict=True)
        ]

    train, test = numbers(train_words, train_labels), numbers(test_words, test_labels)
    prepared = time.perf_counter()

    model = Classifier(len(vocabulary) + 2, len(names), options.states)
    optimizer = torch.optim.Adam(model.parameters())
    criterion = nn.CrossEntropyLoss()
    for epoch in range(1, options.epochs + 1):
        model.train()
        loss_sum = 0.0
        for batch in buckets(train, chance):
            tokens, lengths, labels = collate(batch)
            optimizer.zero_grad()
            loss = criterion(model(tokens, lengths), labels)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(batch)
        print(f"epoch {epoch}: loss {loss_sum / len(train):.4f}", flush=True)
    trained = time.perf_counter()
    score = accuracy(model, test)
    print(
        json.dumps(
            {
                "accuracy": score,
                "seconds": {
                    "prepare": prepared - began,
                    "train": trained - prepared,
                    "test": time.perf_counter() - trained,
                },
            }
        )
    )


if __name__ == "__main__":
    main()
