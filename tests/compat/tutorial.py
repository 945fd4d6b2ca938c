"""A script of the kind that tutorials about torchtext hold: sentiment with an LSTM. Only the import is muster's.

python tutorial.py FOLDER, where FOLDER holds train.jsonl, validation.jsonl and test.jsonl.
"""

import random
import sys

import torch
import torch.nn as nn
import torch.optim as optim

from cluster.compat.torchtext.data import BucketIterator, Field, LabelField, TabularDataset

SEED = 1234
random.seed(SEED)
torch.manual_seed(SEED)

TEXT = Field(tokenize="spacy", lower=True, include_lengths=True, batch_first=True)
LABEL = LabelField(dtype=torch.float)
fields = {"text": ("text", TEXT), "label": ("label", LABEL)}

train_data, valid_data, test_data = TabularDataset.splits(
    path=sys.argv[1],
    train="train.jsonl",
    validation="validation.jsonl",
    test="test.jsonl",
    format="json",
    fields=fields,
)
print(vars(train_data[0]))

TEXT.build_vocab(train_data, max_size=25_000)
LABEL.build_vocab(train_data)
print(len(TEXT.vocab), TEXT.vocab.freqs.most_common(5), LABEL.vocab.stoi)

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# (process group)
train_iterator, valid_iterator, test_iterator = BucketIterator.splits(
    (train_data, valid_data, test_data),
    batch_size=32,
    sort_key=lambda x: len(x.text),
    sort_within_batch=True,
    device=device,
)


class Sentiment(nn.Module):
    def __init__(self, vocab_size, embedding_dim, hidden_dim, pad_idx):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=pad_idx)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, num_layers=1, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(hidden_dim * 2, 1)

    def forward(self, text, text_lengths):
        embedded = self.embedding(text)
        packed = nn.utils.rnn.pack_padded_sequence(embedded, text_lengths, batch_first=True)
        _, (hidden, cell) = self.lstm(packed)
        return torch.sigmoid(self.fc(torch.cat((hidden[-2], hidden[-1]), dim=1)))


model = Sentiment(len(TEXT.vocab), 32, 32, TEXT.vocab.stoi[TEXT.pad_token])
model = model.to(device)
# (model)
optimizer = optim.Adam(model.parameters(), lr=5e-3)
criterion = nn.BCELoss().to(device)


def binary_accuracy(predictions, y):
    return (torch.round(predictions) == y).float().mean()


def train(model, iterator):
    epoch_loss, epoch_acc = 0, 0
    model.train()
    for batch in iterator:
        optimizer.zero_grad()
        text, text_lengths = batch.text
        predictions = model(text, text_lengths).squeeze(1)
        loss = criterion(predictions, batch.label)
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()
        epoch_acc += binary_accuracy(predictions, batch.label).item()
    return epoch_loss / len(iterator), epoch_acc / len(iterator)


def evaluate(model, iterator):
    epoch_loss, epoch_acc = 0, 0
    model.eval()
    with torch.no_grad():
        for batch in iterator:
            text, text_lengths = batch.text
            predictions = model(text, text_lengths).squeeze(1)
            epoch_loss += criterion(predictions, batch.label).item()
            epoch_acc += binary_accuracy(predictions, batch.label).item()
    return epoch_loss / len(iterator), epoch_acc / len(iterator)


for epoch in range(4):
    train_loss, train_acc = train(model, train_iterator)
    valid_loss, valid_acc = evaluate(model, valid_iterator)
    print(f"epoch {epoch} train {train_loss:.4f} {train_acc:.3f} valid {valid_loss:.4f} {valid_acc:.3f}")

test_loss, test_acc = evaluate(model, test_iterator)
print(f"test {test_loss:.4f} {test_acc:.3f}")
# (end)
