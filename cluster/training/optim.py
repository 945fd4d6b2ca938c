"""The optimizer, and the learning rate as a pure function of the step."""

import math

import torch
from torch import nn

from cluster.config.schema import Optim


def build_optimizer(model: nn.Module, config: Optim, device: torch.device) -> torch.optim.Optimizer:
    if config.kind == "adagrad":
        # As it is anyway, but torch warns where nobody has said so.
        torch.sparse.check_sparse_tensor_invariants.disable()  # type: ignore[no-untyped-call]
        return torch.optim.Adagrad(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    return kind(
        model.parameters(),
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        # One kernel for all parameters; torch has it for CPUs as well since 2.4.
        fused=True,
    )


def learning_rate(config: Optim, step: int, total_steps: int) -> float:
    """Rate of step `step` (from 0) of `total_steps`: a straight rise over `warmup_steps`, then the schedule.

    Linear and cosine (arxiv.org/abs/1608.03983, without restarts) reach zero after the last step.
    """
    peak = config.learning_rate
    if step < config.warmup_steps:
        return peak * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    match config.schedule:
        case "constant":
            return peak
        case "linear":
            return peak * max(0.0, 1.0 - progress)
        case "cosine":
            return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
