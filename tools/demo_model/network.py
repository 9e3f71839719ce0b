# pyright: basic, reportMissingImports=false, reportUnknownMemberType=false
# torch is installed for training only, and is not typed to the strict rule.
"""The network of Qwen3 at any size, in PyTorch: attention with normed queries and keys, RoPE, gated feed-forward."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a network, under the names of Qwen3's config.json."""

    vocab_size: int
    hidden_size: int = 192
    num_hidden_layers: int = 6
    num_attention_heads: int = 3
    num_key_value_heads: int = 1
    head_dim: int = 64
    intermediate_size: int = 576
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 8192

    def config(self) -> dict[str, float]:
        """What export.py reads as config.json."""
        return asdict(self)


class Norm(nn.Module):
    """RMS norm with a weight."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x over its root mean square."""
        return functional.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rotations(positions: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines for these positions, [batch, 1, length, head_dim]."""
    half = torch.arange(0, shape.head_dim, 2, device=positions.device).float() / shape.head_dim
    angles = positions[:, None, :, None].float() / shape.rope_theta**half
    angles = torch.cat([angles, angles], -1)
    return angles.cos(), angles.sin()


def _rotated(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    half = x.shape[-1] // 2
    return x * turns[0] + torch.cat([-x[..., half:], x[..., :half]], -1) * turns[1]


class Layer(nn.Module):
    """One layer: attention, then feed-forward."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, head = shape.hidden_size, shape.head_dim
        self.heads, self.groups, self.head = shape.num_attention_heads, shape.num_key_value_heads, head
        self.input_layernorm = Norm(width, shape.rms_norm_eps)
        self.post_attention_layernorm = Norm(width, shape.rms_norm_eps)
        self.q_norm, self.k_norm = Norm(head, shape.rms_norm_eps), Norm(head, shape.rms_norm_eps)
        self.q_proj = nn.Linear(width, self.heads * head, bias=False)
        self.k_proj = nn.Linear(width, self.groups * head, bias=False)
        self.v_proj = nn.Linear(width, self.groups * head, bias=False)
        self.o_proj = nn.Linear(self.heads * head, width, bias=False)
        self.gate_proj = nn.Linear(width, shape.intermediate_size, bias=False)
        self.up_proj = nn.Linear(width, shape.intermediate_size, bias=False)
        self.down_proj = nn.Linear(shape.intermediate_size, width, bias=False)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """The layer's output, [batch, length, width]."""
        batch, length, _ = x.shape
        h = self.input_layernorm(x)
        query = self.q_proj(h).view(batch, length, self.heads, self.head).transpose(1, 2)
        key = self.k_proj(h).view(batch, length, self.groups, self.head).transpose(1, 2)
        value = self.v_proj(h).view(batch, length, self.groups, self.head).transpose(1, 2)
        query, key = _rotated(self.q_norm(query), turns), _rotated(self.k_norm(key), turns)
        repeat = self.heads // self.groups
        seen = functional.scaled_dot_product_attention(
            query, key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1), is_causal=True
        )
        x = x + self.o_proj(seen.transpose(1, 2).reshape(batch, length, -1))
        h = self.post_attention_layernorm(x)
        return x + self.down_proj(functional.silu(self.gate_proj(h)) * self.up_proj(h))


class Network(nn.Module):
    """Tokens in, hidden states out; the embedding is the output layer too."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = Norm(shape.hidden_size, shape.rms_norm_eps)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                scale = 0.02 if "embed" in name else 1 / math.sqrt(weight.shape[1])
                nn.init.normal_(weight, std=scale * (0.3 if "o_proj" in name or "down_proj" in name else 1))

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """The last hidden states, [batch, length, width]."""
        turns = rotations(positions, self.shape)
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, turns)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the next token."""
        return functional.linear(hidden, self.embed.weight)
