"""Long short-term memory over the sequence of tokens.

Shapes: B documents, T tokens, E embedding width, H hidden width, C classes.
"""

import torch
from torch import Tensor, nn

from cluster.config.schema import Lstm


class LstmClassifier(nn.Module):
    """Classifies the hidden state after each document's last token."""

    def __init__(self, config: Lstm, vocabulary_rows: int, classes: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary_rows, config.embedding, padding_idx=0)
        between = config.dropout if config.layers > 1 else 0.0
        self.lstm = nn.LSTM(config.embedding, config.hidden, config.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.hidden, classes)

    def forward(self, tokens_BT: Tensor, lengths_B: Tensor, weights: Tensor | None = None) -> Tensor:
        """Logits (B, C). Running forward only, the state at a document's last token knows nothing of the padding behind
        it, so padded rows need no packing (which would make the host wait for the lengths)."""
        states_BTH, _ = self.lstm(self.words(tokens_BT))
        rows_B = torch.arange(tokens_BT.shape[0], device=tokens_BT.device)
        last_BH = states_BTH[rows_B, (lengths_B - 1).clamp(min=0)]
        logits_BC: Tensor = self.output(self.dropout(last_BH))
        return logits_BC
