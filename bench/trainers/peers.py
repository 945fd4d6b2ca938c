"""Each trainer as its users write it: the same model, documents, batch size and optimizer; padding and order its own.

Each function trains `model` in place for `steps` steps. Nobody saves checkpoints or draws progress bars. Lightning and
Accelerate get a plain shuffling DataLoader (they have no answer to padding); HF Trainer groups by length.
"""

import tempfile
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from bench.trainers.cases import BATCH_EXAMPLES, LEARNING_RATE, SEED
from cluster.data.shards import ShardReader

Document = dict[str, Any]


def documents(reader: ShardReader) -> list[Document]:
    """A prepared split as a list in memory, which is the least work for a DataLoader."""
    found = []
    for index, label in enumerate(np.asarray(reader.labels)):
        tokens = reader.padded(np.array([index]))[0][0]
        found.append({"input_ids": torch.from_numpy(tokens.astype(np.int64)), "label": int(label)})
    return found


def collate(batch: list[Document]) -> dict[str, Tensor]:
    return {
        "input_ids": pad_sequence([document["input_ids"] for document in batch], batch_first=True),
        "lengths": torch.tensor([len(document["input_ids"]) for document in batch]),
        "labels": torch.tensor([document["label"] for document in batch]),
    }


def shuffled(train: list[Document]) -> "DataLoader[Document]":
    return DataLoader(train, batch_size=BATCH_EXAMPLES, shuffle=True, collate_fn=collate)  # type: ignore[arg-type]


def adam(model: nn.Module) -> torch.optim.Optimizer:
    """Fused for everybody, so that the optimizer decides nothing."""
    return torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)


def loss_of(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch["input_ids"], batch["lengths"]), batch["labels"])


def hf_trainer(model: nn.Module, train: list[Document], steps: int, device: str) -> None:
    from transformers import Trainer, TrainingArguments

    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, input_ids: Tensor, lengths: Tensor, labels: Tensor) -> dict[str, Tensor]:
            outputs = self.inner(input_ids, lengths)
            return {"loss": F.cross_entropy(outputs, labels), "logits": outputs}

    wrapped = WithLoss()
    optimizer = adam(model.to(device))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=BATCH_EXAMPLES,
            train_sampling_strategy="group_by_length",  # version 5's name of group_by_length=True
            lr_scheduler_type="constant",
            max_grad_norm=0.0,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=device == "cpu",
            seed=SEED,
        )
        constant = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
        Trainer(
            model=wrapped,
            args=arguments,
            train_dataset=train,
            data_collator=collate,
            optimizers=(optimizer, constant),
        ).train()


def lightning(model: nn.Module, train: list[Document], steps: int, device: str) -> None:
    import lightning as L

    class Classifier(L.LightningModule):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def training_step(self, batch: dict[str, Tensor]) -> Tensor:
            return loss_of(self.inner, batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return adam(self)

    L.seed_everything(SEED, verbose=False)
    L.Trainer(
        max_steps=steps,
        accelerator="cpu" if device == "cpu" else "gpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(Classifier(), shuffled(train))


def accelerate(model: nn.Module, train: list[Document], steps: int, device: str) -> None:
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    set_seed(SEED)
    accelerator = Accelerator(cpu=device == "cpu")
    ready, optimizer, batches = accelerator.prepare(model, adam(model), shuffled(train))
    ready.train()
    made = 0
    while made < steps:
        for batch in batches:
            optimizer.zero_grad()
            loss = loss_of(ready, batch)
            accelerator.backward(loss)
            optimizer.step()
            made += 1
            if made == steps:
                break
