# pyright: basic, reportMissingImports=false, reportUnknownMemberType=false
# torch is installed for training only, and is not typed to the strict rule.
"""Train the demo model: `python tools/demo_model/train.py OUT_DIR --minutes 60 [--start OLDER_DIR]`.

OUT_DIR holds tokenizer.json (tokenizer.py) and gets config.json and model-f16.safetensors, again at every report, which
export.py reads. Conversations are made as they are needed, so none is seen twice. Only answers count for the loss.
`--start` begins with other weights; in another vocabulary each token begins as the mean of those that spelt it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import corpus
import torch
from network import Network, Shape
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

REPORT = 60  # seconds
NOT_LEARNT = -100


@dataclass(frozen=True, slots=True)
class Batch:
    """Tokens, their positions, and the next token where it is learnt."""

    tokens: Tensor
    positions: Tensor
    targets: Tensor


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal by five Newton-Schulz rounds (K. Jordan, 2024): for matrices."""

    def __init__(self, weights: list[Tensor], rate: float) -> None:
        super().__init__(weights, {"lr": rate})

    @torch.no_grad()
    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]: no closure here
        """Move every matrix against its gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                momentum.lerp_(weight.grad, 0.05)
                turned = _orthogonal(weight.grad.lerp(momentum, 0.95))
                weight.mul_(1 - group["lr"] * 0.01)
                weight.add_(turned, alpha=-group["lr"] * max(1, weight.shape[0] / weight.shape[1]) ** 0.5)


def _orthogonal(step: Tensor) -> Tensor:
    wide = step if step.shape[0] <= step.shape[1] else step.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x if step.shape[0] <= step.shape[1] else x.T


class Learner:
    """The text as batches, without an end."""

    def __init__(self, tokenizer: Tokenizer, seed: int, size: int, longest: int) -> None:
        self._tokenizer = tokenizer
        self._chance = Random(seed)
        self._size = size
        self._longest = longest

    def batches(self, window: int) -> Iterator[Batch]:
        """Batches of at most so many tokens, of conversations of about the same length."""
        while True:
            rows = [row for row in map(self._row, range(160)) if len(row[0]) <= self._longest]
            rows.sort(key=lambda row: len(row[0]))
            parts: list[list[tuple[list[int], list[int]]]] = [[]]
            for row in rows:
                if parts[-1] and (len(parts[-1]) + 1) * len(row[0]) > self._size:
                    parts.append([])
                parts[-1].append(row)
            self._chance.shuffle(parts)
            for part in parts:
                yield self._batch(part, window)

    def _row(self, _: int) -> tuple[list[int], list[int]]:
        """Tokens, and the targets: the next token where an answer stands."""
        made = corpus.conversation(self._chance)
        coded = self._tokenizer.encode(made.text, add_special_tokens=False)
        targets = [NOT_LEARNT] * len(coded.ids)
        spans = iter(made.learnt)
        start, end = next(spans)
        for at, (first, last) in enumerate(coded.offsets):
            while first >= end:
                start, end = next(spans, (10**9, 10**9))
            if at and start <= first and last <= end:
                targets[at - 1] = coded.ids[at]
        return coded.ids, targets

    def _batch(self, part: list[tuple[list[int], list[int]]], window: int) -> Batch:
        """Padded; every third row has a gap in its positions, so that distances up to the window are seen."""
        length = max(len(row[0]) for row in part)
        tokens = torch.zeros(len(part), length, dtype=torch.long)
        targets = torch.full((len(part), length), NOT_LEARNT)
        positions = torch.arange(length).repeat(len(part), 1)
        for at, (ids, wanted) in enumerate(part):
            tokens[at, : len(ids)] = torch.tensor(ids)
            targets[at, : len(ids)] = torch.tensor(wanted)
            if self._chance.random() < 0.33:
                positions[at, self._chance.randrange(len(ids)) :] += self._chance.randint(0, window - length)
        return Batch(tokens, positions, targets)


def begun(network: Network, tokenizer: Tokenizer, start: Path) -> None:
    """Take over older weights; a token that was not there begins as the mean of those that spelt it."""
    weights = {name: tensor.float() for name, tensor in load_file(start / "model-f16.safetensors").items()}
    older = Tokenizer.from_file(str(start / "tokenizer.json"))
    if older.get_vocab() != tokenizer.get_vocab():
        known, rows = older.get_vocab(), weights["embed.weight"]
        table = torch.zeros(tokenizer.get_vocab_size(), rows.shape[1])
        for token, at in tokenizer.get_vocab().items():
            spelt = [known[token]] if token in known else older.encode(tokenizer.decode([at], False)).ids
            pieces = (
                spelt if token in known or "\ufffd" not in tokenizer.decode([at], False) else [known[c] for c in token]
            )
            table[at] = rows[pieces].mean(0)
        weights["embed.weight"] = table
    network.load_state_dict(weights)


def saved(network: Network, out: Path) -> None:
    """Write what export.py reads."""
    tensors = {name: tensor.detach().half().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, out / "model-f16.safetensors")
    (out / "config.json").write_text(json.dumps(network.shape.config(), indent=1))


def trained(network: Network, learner: Learner, options: argparse.Namespace) -> None:
    """Learn for so many minutes: warm-up, full rate, and a decay over the last part."""
    matrices = [weight for name, weight in network.named_parameters() if weight.dim() == 2 and "embed" not in name]
    others = [weight for name, weight in network.named_parameters() if weight.dim() != 2 or "embed" in name]
    optimizers = [
        Muon(matrices, options.rate),
        torch.optim.AdamW(others, options.rate / 10, betas=(0.9, 0.98), weight_decay=0),
    ]
    rates = [options.rate, options.rate / 10]
    began = told = time.monotonic()
    losses, seen = [], 0
    for step, batch in enumerate(learner.batches(network.shape.max_position_embeddings)):
        share = (time.monotonic() - began) / (options.minutes * 60)
        if share >= 1:
            break
        pace = min(1, (step + 1) / 10) * (1 if share < 1 - options.decay else max(0.02, (1 - share) / options.decay))
        hidden = network(batch.tokens, batch.positions)
        wanted = batch.targets != NOT_LEARNT
        loss = functional.cross_entropy(network.logits(hidden[wanted]), batch.targets[wanted])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * pace
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        seen += batch.tokens.numel()
        if time.monotonic() - told > REPORT:
            told = time.monotonic()
            recent = sum(losses[-30:]) / len(losses[-30:])
            spent = f"{seen / 1e6:.2f} M tokens, CPU {time.process_time():.0f} s"
            print(f"{share:4.0%} step {step} loss {recent:.4f}, {spent}", flush=True)
            saved(network, options.out)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("out", type=Path, help="folder with tokenizer.json; gets the weights")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--start", type=Path, help="folder with weights to begin with")
    parser.add_argument("--rate", type=float, default=0.02, help="learning rate of the matrices; a tenth for the rest")
    parser.add_argument("--decay", type=float, default=0.4, help="share of the time in which the rate falls")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of a batch")
    parser.add_argument("--longest", type=int, default=1280, help="tokens of a conversation; longer ones are left out")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    tokenizer = Tokenizer.from_file(str(options.out / "tokenizer.json"))
    network = Network(Shape(tokenizer.get_vocab_size()))
    if options.start:
        begun(network, tokenizer, options.start)
    print(f"{sum(weight.numel() for weight in network.parameters())} parameters", flush=True)
    trained(network, Learner(tokenizer, options.seed, options.tokens, options.longest), options)
    saved(network, options.out)


if __name__ == "__main__":
    main()
