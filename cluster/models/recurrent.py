"""Long short-term memory and gated recurrent units over the sequence of tokens.

Shapes: B documents, T tokens, E embedding width, H hidden width of one direction, D = H or 2H, C outputs.
"""

import torch
from torch import Tensor, nn

from cluster.config.models import Gru, Lstm
from cluster.models.layers import Beside, Pool, TokenEmbedding, backwards, last


class RecurrentClassifier(nn.Module):
    """One or more recurrent layers, in one or both directions; one state stands for the document and is classified, or
    with `each_token` the state of each token is.

    A layer reads forward only, so what it says of a document's last token knows nothing of the padding behind it, and
    rows need no packing (which would make the host wait for the lengths). A second layer reads the tokens backwards.
    """

    def __init__(
        self, config: Lstm | Gru, vocabulary_rows: int, outputs: int, beside: Beside, each_token: bool
    ) -> None:
        super().__init__()
        self.embed = TokenEmbedding(config, config.embedding, vocabulary_rows, beside, config.embedding_dropout)
        kind = nn.LSTM if config.kind == "lstm" else nn.GRU
        width = config.hidden * (2 if config.bidirectional else 1)
        inputs = [self.embed.width, *[width] * (config.layers - 1)]
        self.forward_layers = nn.ModuleList(kind(size, config.hidden, batch_first=True) for size in inputs)
        self.backward_layers = nn.ModuleList(
            kind(size, config.hidden, batch_first=True) for size in inputs if config.bidirectional
        )
        self.each_token = each_token
        self.pool = None if each_token or config.pooling == "last" else Pool(config.pooling, width)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(width, outputs)

    def forward(self, tokens_BT: Tensor, lengths_B: Tensor, beside: Tensor | None = None) -> Tensor:
        """Outputs (B, C), or (B, T, C) of each token."""
        states_BTD = self.embed(tokens_BT, beside)
        for index, layer in enumerate(self.forward_layers):
            below_BTD = self.dropout(states_BTD) if index else states_BTD
            states_BTD = layer(below_BTD)[0]
            if self.backward_layers:
                reversed_BTD = self.backward_layers[index](backwards(below_BTD, lengths_B))[0]
                states_BTD = torch.cat([states_BTD, backwards(reversed_BTD, lengths_B)], dim=-1)
        read = states_BTD if self.each_token else self._document(states_BTD, lengths_B)
        outputs: Tensor = self.output(self.dropout(read))
        return outputs

    def _document(self, states_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        if self.pool is not None:
            pooled_BD: Tensor = self.pool(states_BTD, lengths_B)
            return pooled_BD
        if not self.backward_layers:
            return last(states_BTD, lengths_B)
        half = states_BTD.shape[2] // 2
        # Reading backwards ends at the first token.
        return torch.cat([last(states_BTD[..., :half], lengths_B), states_BTD[:, 0, half:]], dim=-1)
