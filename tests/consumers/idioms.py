"""What a consumer makes of the small things that models are made of, where graphlint calls them clean.

    python tests/consumers/idioms.py CONSUMER [--only NAME]... [--dtype NAME] [--state] [--symbolic] [--alarms]

exports each program of the list below, fixes it for the consumer's target, and runs what is clean then in the consumer
and in eager torch, three calls and more in a row. Prints a line for each program that is refused or differs, and how
many were clean. ``--dtype`` gives floating-point numbers that dtype, ``--state`` lets the first result become the state
of a buffer, and ``--symbolic`` makes the first size of each input symbolic. ``--alarms`` runs what is not clean, too,
and prints what the consumer takes of it, with the codes that graphlint is left with.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from tests.consumers.cases import Case
from tests.consumers.consumers import CONSUMERS
from tests.consumers.measuring import measuring
from tests.consumers.outcomes import TAKEN
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64}
LARGEST = 16
"""A symbolic size is this at most."""


class Idiom(NamedTuple):
    """A program of a few ops."""

    forward: Callable[..., Any]
    """Given the module, for what it holds, and the inputs."""
    inputs: tuple[torch.Tensor, ...]
    held: dict[str, torch.Tensor | nn.Module]
    """Weights and modules. Tensors whose names begin with ``state``, and integers, are buffers."""


class Model(nn.Module):
    """An idiom as a module."""

    def __init__(self, idiom: Idiom, dtype: torch.dtype, *, state: bool) -> None:
        super().__init__()
        self._forward = idiom.forward
        for name, value in idiom.held.items():
            if isinstance(value, nn.Module):
                setattr(self, name, value)
            elif name.startswith("state") or not value.is_floating_point():
                self.register_buffer(name, value.clone())
            else:
                setattr(self, name, nn.Parameter(value.clone(), requires_grad=False))
        self.to(dtype).eval().requires_grad_(requires_grad=False)
        if state:
            results = Model(idiom, dtype, state=False)(*inputs(idiom, dtype))
            self.register_buffer("state_of_result", torch.zeros_like(_first(results)))

    def forward(self, *given: torch.Tensor) -> Any:
        results = self._forward(self, *given)
        results = tuple(results) if isinstance(results, tuple) else results  # not a tuple with names
        if not hasattr(self, "state_of_result"):
            return results
        before = self.state_of_result.clone()
        self.state_of_result.copy_(_first(results))
        return before


def _first(results: Any) -> torch.Tensor:
    return results if isinstance(results, torch.Tensor) else results[0]


def inputs(idiom: Idiom, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """The sample inputs, with floating-point numbers of a dtype."""
    return tuple(one.to(dtype) if one.is_floating_point() else one.clone() for one in idiom.inputs)


def idiom(forward: Callable[..., Any], *given: torch.Tensor, **held: torch.Tensor | nn.Module) -> Idiom:
    """A program of these inputs, and of what it holds."""
    return Idiom(forward, given, held)


_GENERATOR = torch.Generator().manual_seed(1299709)


def f(*shape: int) -> torch.Tensor:
    """Floating-point numbers around 0."""
    return torch.randn(shape, generator=_GENERATOR)


def pos(*shape: int) -> torch.Tensor:
    """Positive ones."""
    return torch.rand(shape, generator=_GENERATOR) + 0.1


def i(*values: Any) -> torch.Tensor:
    """Integers of 64 bits."""
    return torch.tensor(values if len(values) > 1 else values[0])


def i32(*values: Any) -> torch.Tensor:
    """Integers of 32 bits."""
    return i(*values).to(torch.int32)


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """State to begin with."""
    return torch.zeros(*shape, dtype=dtype)


def seeded(make: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    """A module with the same weights each time."""
    torch.manual_seed(0)
    return make(*args, **kwargs)


# ------------------------------------------------------------------------------------------------ pieces


def written(state: torch.Tensor, value: Any) -> torch.Tensor:
    """A new value for state."""
    state.copy_(value)
    return state


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Attention, by hand."""
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return torch.softmax(scores if bias is None else scores + bias, -1) @ v


def causal(length: int) -> torch.Tensor:
    """What may not be looked at."""
    return torch.triu(torch.ones(length, length, dtype=torch.bool), 1)


def heads(x: torch.Tensor, number: int) -> torch.Tensor:
    """(batch, length, width) as (batch, head, length, width of a head)."""
    return x.unflatten(-1, (number, -1)).transpose(1, 2)


def half_turned(x: torch.Tensor) -> torch.Tensor:
    """As rotary embeddings want it."""
    left, right = x.chunk(2, -1)
    return torch.cat((-right, left), -1)


def angles(length: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    """Of positions."""
    rates = 1.0 / 10000 ** (torch.arange(0, width, 2).to(dtype) / width)
    return torch.outer(torch.arange(length).to(dtype), rates)


def rotary(x: torch.Tensor) -> torch.Tensor:
    """Rotary embeddings by sines and cosines of both halves."""
    at = angles(x.shape[-2], x.shape[-1], x.dtype)
    at = torch.cat((at, at), -1)
    return x * at.cos() + half_turned(x) * at.sin()


def interleaved_rotary(x: torch.Tensor) -> torch.Tensor:
    """Rotary embeddings of neighbours."""
    at = angles(x.shape[-2], x.shape[-1], x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * at.cos() - odd * at.sin(), even * at.sin() + odd * at.cos()), -1).flatten(-2)


def buckets(length: int) -> torch.Tensor:
    """Relative positions as T5 has them."""
    at = torch.arange(length)[None] - torch.arange(length)[:, None]
    far = 2 + (torch.log(at.abs().clamp(min=1).float() / 2) / math.log(4) * 2).to(torch.long)
    return (at > 0).to(torch.long) * 4 + torch.where(at.abs() < 2, at.abs(), far.clamp(max=3))


def shifted_windows(x: torch.Tensor, size: int, by: int) -> torch.Tensor:
    """Windows of an image, as Swin has them."""
    batch, height, width, channels = x.shape
    rolled = torch.roll(x, (-by, -by), (1, 2)).view(batch, height // size, size, width // size, size, channels)
    return rolled.permute(0, 1, 3, 2, 4, 5).reshape(-1, size * size, channels)


def standardized(weight: torch.Tensor) -> torch.Tensor:
    """A weight of mean 0 and variance 1."""
    mean, var = weight.mean((1, 2, 3), keepdim=True), weight.var((1, 2, 3), keepdim=True)
    return (weight - mean) / torch.sqrt(var + 1e-5)


def boxes_overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of all pairs."""
    areas = [(one[:, 2] - one[:, 0]) * (one[:, 3] - one[:, 1]) for one in (a, b)]
    sizes = (torch.min(a[:, None, 2:], b[:, 2:]) - torch.max(a[:, None, :2], b[:, :2])).clamp(min=0)
    both = sizes[..., 0] * sizes[..., 1]
    return both / (areas[0][:, None] + areas[1] - both + 1e-6)


def gru_cell(m: Any, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """A recurrent cell, by hand."""
    given, held = F.linear(x, m.wi).chunk(3, -1), F.linear(h, m.wh).chunk(3, -1)
    reset, update = torch.sigmoid(given[0] + held[0]), torch.sigmoid(given[1] + held[1])
    return (1 - update) * torch.tanh(given[2] + reset * held[2]) + update * h


def lstm_cell(m: Any, x: torch.Tensor) -> torch.Tensor:
    """A recurrent cell that keeps its state."""
    a, b, c, d = (F.linear(x, m.wi) + F.linear(m.state_h, m.wh)).chunk(4, -1)
    m.state_c.copy_(torch.sigmoid(a) * m.state_c + torch.sigmoid(b) * torch.tanh(c))
    m.state_h.copy_(torch.sigmoid(d) * torch.tanh(m.state_c))
    return m.state_h.clone()


def running_norm(m: Any, x: torch.Tensor) -> torch.Tensor:
    """Running means and variances."""
    m.state_count.add_(1)
    m.state_mean.lerp_(x.mean(0), 0.1)
    m.state_var.mul_(0.9).add_(x.var(0, unbiased=False), alpha=0.1)
    return (x - m.state_mean) * torch.rsqrt(m.state_var + 1e-5)


def cache_by_step(m: Any, x: torch.Tensor) -> torch.Tensor:
    """A cache that is filled place by place."""
    m.state_cache.index_copy_(1, m.state_step, x[:, None])
    m.state_step.add_(1).remainder_(4)
    return m.state_cache.sum(1)


def ring(m: Any, x: torch.Tensor) -> torch.Tensor:
    """A window that moves on."""
    m.state_window.copy_(torch.cat((m.state_window[:, 1:], x[:, None]), 1))
    return m.state_window.mean(1)


def streaming_convolution(m: Any, x: torch.Tensor) -> torch.Tensor:
    """A causal convolution that goes on where the last call ended."""
    joined = torch.cat((m.state_past, x), -1)
    m.state_past.copy_(joined[..., -2:])
    return F.conv1d(joined, m.w)


def momentum(m: Any, x: torch.Tensor) -> torch.Tensor:
    """Two running values."""
    m.state_first.mul_(0.9).add_(x, alpha=0.1)
    m.state_second.mul_(0.99).addcmul_(x, x, value=0.01)
    return m.state_first / (m.state_second.sqrt() + 1e-6)


def masked_mean(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The mean of sequences of several lengths."""
    mask = (torch.arange(x.shape[1])[None] < lengths[:, None])[..., None]
    return (x * mask).sum(1) / mask.sum(1).clamp(min=1)


def mixture(m: Any, x: torch.Tensor) -> torch.Tensor:
    """Experts, all of which compute."""
    scores, chosen = torch.topk(torch.softmax(x @ m.router, -1), 2, -1)
    weights = torch.zeros(x.shape[0], 4, dtype=x.dtype).scatter(1, chosen, scores / scores.sum(-1, keepdim=True))
    return torch.einsum("be,bed->bd", weights, torch.einsum("bi,eid->bed", x, m.w))


def quantized(x: torch.Tensor) -> torch.Tensor:
    """To 8 bits, and back."""
    scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-5) / 127
    return torch.round(x / scale).clamp(-128, 127).to(torch.int8).to(x.dtype) * scale


def filters(x: torch.Tensor) -> torch.Tensor:
    """Frames of a signal, with a window, by a matrix of cosines."""
    frames = x.unfold(-1, 8, 4) * torch.hann_window(8).to(x.dtype)
    at = torch.arange(8).to(x.dtype)
    return (frames @ torch.cos(torch.outer(at, at) * (2 * math.pi / 8))).abs().clamp(min=1e-5).log()


def space_to_depth(x: torch.Tensor) -> torch.Tensor:
    """As YOLO's focus has it."""
    return torch.cat((x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]), 1)


def grid_of(x: torch.Tensor) -> torch.Tensor:
    """Coordinates from -1 to 1."""
    lines = [torch.linspace(-1, 1, size, dtype=x.dtype) for size in x.shape[-2:]]
    rows, columns = torch.meshgrid(*lines, indexing="ij")
    return torch.stack((columns, rows), -1).expand(x.shape[0], -1, -1, -1)


def filled_places(x: torch.Tensor) -> torch.Tensor:
    """Slices of zeros that are filled one after the other."""
    made = torch.zeros(x.shape[0], 2 * x.shape[1], dtype=x.dtype)
    made[:, 0::2] = x
    made[:, 1::2] = x * 2
    return made


def fresh_filled(x: torch.Tensor) -> torch.Tensor:
    """Memory that is made and then filled."""
    made = torch.empty_like(x)
    made.copy_(x)
    return made.mul_(2)


def contrast(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The loss of CLIP."""
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).t() * 10
    labels = torch.arange(scores.shape[0])
    return (F.cross_entropy(scores, labels) + F.cross_entropy(scores.t(), labels)) / 2


def focal(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Focal loss."""
    loss = F.binary_cross_entropy_with_logits(x, target, reduction="none")
    return ((1 - torch.exp(-loss)) ** 2 * loss).mean()


# ------------------------------------------------------------------------------------------------ the list

IDIOMS: dict[str, Idiom] = {
    # norms
    "layer_norm": idiom(lambda m, x: m.norm(x), f(2, 3, 8), norm=nn.LayerNorm(8)),
    "layer_norm_bare": idiom(lambda m, x: F.layer_norm(x, (8,)), f(2, 3, 8)),
    "layer_norm_two": idiom(lambda m, x: F.layer_norm(x, (3, 8), m.w), f(2, 3, 8), w=f(3, 8)),
    "layer_norm_by_hand": idiom(
        lambda m, x: (
            (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt() * m.w + m.b
        ),
        f(2, 3, 8),
        w=f(8),
        b=f(8),
    ),
    "layer_norm_by_std": idiom(
        lambda m, x: m.w * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5) + m.b,
        f(2, 8),
        w=f(8),
        b=f(8),
    ),
    "layer_norm_of_channels": idiom(
        lambda m, x: F.layer_norm(x.permute(0, 2, 3, 1), (4,), m.w, m.b).permute(0, 3, 1, 2),
        f(2, 4, 5, 5),
        w=f(4),
        b=f(4),
    ),
    "rms_norm": idiom(lambda m, x: m.norm(x), f(2, 3, 8), norm=nn.RMSNorm(8)),
    "rms_norm_by_hand": idiom(
        lambda m, x: m.w * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)), f(2, 3, 8), w=f(8)
    ),
    "rms_norm_in_float": idiom(
        lambda m, x: m.w * (x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)).type_as(x),
        f(2, 3, 8),
        w=f(8),
    ),
    "batch_norm": idiom(lambda m, x: m.norm(x), f(2, 4, 5, 5), norm=nn.BatchNorm2d(4)),
    "batch_norm_of_lines": idiom(lambda m, x: m.norm(x), f(3, 4), norm=nn.BatchNorm1d(4)),
    "batch_norm_relu": idiom(
        lambda m, x: F.relu(m.norm(m.conv(x))),
        f(1, 3, 6, 6),
        conv=seeded(nn.Conv2d, 3, 4, 3, padding=1, bias=False),
        norm=nn.BatchNorm2d(4),
    ),
    "frozen_batch_norm": idiom(
        lambda m, x: x * (m.w * (m.var + 1e-5).rsqrt()).reshape(1, -1, 1, 1) + m.b.reshape(1, -1, 1, 1),
        f(2, 4, 3, 3),
        w=f(4),
        b=f(4),
        var=pos(4),
    ),
    "group_norm": idiom(lambda m, x: m.norm(x), f(2, 4, 5, 5), norm=nn.GroupNorm(2, 4)),
    "group_norm_bare": idiom(lambda m, x: F.group_norm(x, 2), f(2, 4, 5)),
    "instance_norm": idiom(lambda m, x: m.norm(x), f(2, 4, 5, 5), norm=nn.InstanceNorm2d(4)),
    "instance_norm_affine": idiom(lambda m, x: m.norm(x), f(2, 4, 5), norm=nn.InstanceNorm1d(4, affine=True)),
    "local_response_norm": idiom(lambda m, x: F.local_response_norm(x, 3), f(2, 5, 4, 4)),
    "normalize": idiom(lambda m, x: F.normalize(x, dim=-1), f(2, 8)),
    "normalize_first": idiom(lambda m, x: F.normalize(x, p=1.0, dim=1), f(2, 4, 3)),
    "norm_of_all": idiom(lambda m, x: x / x.norm(), f(2, 8)),
    "norm_of_rows": idiom(lambda m, x: x / x.norm(2, dim=1, keepdim=True).clamp(min=1e-6), f(2, 8)),
    "vector_norms": idiom(
        lambda m, x: (torch.linalg.vector_norm(x, 1, -1), torch.linalg.vector_norm(x, float("inf"), -1)), f(3, 5)
    ),
    "weight_standardization": idiom(lambda m, x: F.conv2d(x, standardized(m.w)), f(1, 3, 6, 6), w=f(4, 3, 3, 3)),
    "global_response_norm": idiom(
        lambda m, x: (
            (g := x.norm(p=2, dim=(1, 2), keepdim=True)),
            m.w * (x * (g / (g.mean(-1, keepdim=True) + 1e-6))) + m.b + x,
        )[1],
        f(2, 4, 4, 6),
        w=f(1, 1, 1, 6),
        b=f(1, 1, 1, 6),
    ),
    "minmax": idiom(
        lambda m, x: (x - x.amin(-1, keepdim=True)) / (x.amax(-1, keepdim=True) - x.amin(-1, keepdim=True)), f(2, 8)
    ),
    # attention
    "attention_by_hand": idiom(lambda m, q, k, v: attention(q, k, v), f(2, 2, 4, 8), f(2, 2, 4, 8), f(2, 2, 4, 8)),
    "attention_causal": idiom(
        lambda m, q, k: attention(q, k, k, torch.zeros(4, 4, dtype=q.dtype).masked_fill(causal(4), float("-inf"))),
        f(2, 2, 4, 8),
        f(2, 2, 4, 8),
    ),
    "attention_masked_fill": idiom(
        lambda m, q, mask: torch.softmax((q @ q.mT).masked_fill(mask == 0, -1e4), -1) @ q,
        f(2, 4, 8),
        i([[[1, 1, 1, 0]], [[1, 1, 0, 0]]]),
    ),
    "attention_least_of_dtype": idiom(
        lambda m, q, mask: torch.softmax(q @ q.mT + (1.0 - mask[:, None]) * torch.finfo(q.dtype).min, -1) @ q,
        f(2, 4, 8),
        torch.tensor([[1.0, 1, 1, 0], [1, 1, 0, 0]]),
    ),
    "attention_fused": idiom(lambda m, q, k: F.scaled_dot_product_attention(q, k, k), f(2, 2, 4, 8), f(2, 2, 6, 8)),
    "attention_fused_causal": idiom(
        lambda m, q: F.scaled_dot_product_attention(q, q, q, is_causal=True), f(2, 2, 4, 8)
    ),
    "attention_fused_bias": idiom(
        lambda m, q, bias: F.scaled_dot_product_attention(q, q, q, attn_mask=bias), f(2, 2, 4, 8), f(2, 1, 4, 4)
    ),
    "attention_fused_scale": idiom(lambda m, q: F.scaled_dot_product_attention(q, q, q, scale=1.0), f(2, 2, 4, 8)),
    "attention_fused_flat": idiom(lambda m, q: F.scaled_dot_product_attention(q, q, q), f(4, 8)),
    "attention_grouped": idiom(
        lambda m, q, k: attention(q, k.repeat_interleave(2, 1), k.repeat_interleave(2, 1)), f(1, 4, 3, 8), f(1, 2, 3, 8)
    ),
    "attention_grouped_expand": idiom(
        lambda m, q, k: attention(q, (e := k[:, :, None].expand(-1, -1, 2, -1, -1).reshape(1, 4, 3, 8)), e),
        f(1, 4, 3, 8),
        f(1, 2, 3, 8),
    ),
    "attention_heads": idiom(
        lambda m, x: m.out(
            attention(*(heads(one, 2) for one in m.qkv(x).chunk(3, -1))).transpose(1, 2).reshape(2, 4, 8)
        ),
        f(2, 4, 8),
        qkv=seeded(nn.Linear, 8, 24),
        out=seeded(nn.Linear, 8, 8),
    ),
    "attention_vit": idiom(
        lambda m, x: attention(*m.qkv(x).reshape(2, 4, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)),
        f(2, 4, 8),
        qkv=seeded(nn.Linear, 8, 24),
    ),
    "attention_module": idiom(
        lambda m, x: m.attention(x, x, x, need_weights=False)[0],
        f(2, 4, 8),
        attention=seeded(nn.MultiheadAttention, 8, 2, batch_first=True),
    ),
    "attention_module_weights": idiom(
        lambda m, x: m.attention(x, x, x), f(2, 4, 8), attention=seeded(nn.MultiheadAttention, 8, 2, batch_first=True)
    ),
    "encoder_layer": idiom(
        lambda m, x: m.layer(x), f(2, 4, 8), layer=seeded(nn.TransformerEncoderLayer, 8, 2, 16, batch_first=True)
    ),
    "attention_einsum": idiom(
        lambda m, q, k: torch.einsum(
            "bhqk,bhkd->bqhd", torch.einsum("bqhd,bkhd->bhqk", q, k).softmax(-1), k.transpose(1, 2)
        ),
        f(2, 4, 2, 8),
        f(2, 4, 2, 8),
    ),
    "attention_linear": idiom(
        lambda m, q, k: torch.einsum("nld,ndm->nlm", F.elu(q) + 1, torch.einsum("nsd,nsm->ndm", F.elu(k) + 1, k)),
        f(2, 4, 8),
        f(2, 4, 8),
    ),
    "attention_capped": idiom(lambda m, q: torch.softmax(torch.tanh(q @ q.mT / 50) * 50, -1), f(2, 4, 8)),
    "attention_bias_table": idiom(
        lambda m, q: q @ q.mT + m.table[buckets(4)].permute(2, 0, 1)[0], f(2, 4, 8), table=f(8, 2)
    ),
    "attention_alibi": idiom(
        lambda m, q: q @ q.mT - 0.5 * (torch.arange(4)[None] - torch.arange(4)[:, None]).abs(), f(2, 4, 8)
    ),
    "windows_shifted": idiom(lambda m, x: shifted_windows(x, 2, 1), f(1, 4, 4, 3)),
    "softmax_in_float": idiom(lambda m, x: F.softmax(x, -1, dtype=torch.float32).to(x.dtype), f(2, 4)),
    "log_softmax": idiom(lambda m, x: F.log_softmax(x, 1), f(2, 4, 3)),
    "softmin": idiom(lambda m, x: F.softmin(x, -1), f(2, 4)),
    "softmax_by_hand": idiom(
        lambda m, x: (e := torch.exp(x - x.max(-1, keepdim=True).values)) / e.sum(-1, keepdim=True), f(2, 4)
    ),
    "logsumexp": idiom(lambda m, x: torch.logsumexp(x, (1, 2), keepdim=True), f(2, 4, 3)),
    # positions
    "rotary": idiom(lambda m, x: rotary(x), f(2, 2, 4, 8)),
    "rotary_neighbours": idiom(lambda m, x: interleaved_rotary(x), f(2, 2, 4, 8)),
    "rotary_of_positions": idiom(
        lambda m, x, at: x * m.cos[at] + half_turned(x) * m.sin[at], f(2, 4, 8), i(0, 1, 2, 3), cos=f(8, 8), sin=f(8, 8)
    ),
    "sines": idiom(
        lambda m, x: x + torch.stack(((a := angles(4, 8, x.dtype)).sin(), a.cos()), -1).reshape(4, 8), f(2, 4, 8)
    ),
    "time_embedding": idiom(
        lambda m, t: torch.cat(((a := t[:, None].float() * torch.exp(torch.arange(4) * -2.0)).cos(), a.sin()), -1),
        i(3, 7),
    ),
    "learned_positions": idiom(
        lambda m, x: m.words(x) + m.at(torch.arange(x.shape[1])),
        i([[1, 2, 3], [4, 5, 0]]),
        words=seeded(nn.Embedding, 9, 8),
        at=seeded(nn.Embedding, 5, 8),
    ),
    "positions_from_mask": idiom(lambda m, mask: (torch.cumsum(mask, 1) * mask).long() + 1, i([[1, 1, 0], [1, 1, 1]])),
    "position_ids": idiom(
        lambda m, mask: (mask.long().cumsum(-1) - 1).masked_fill(mask == 0, 1), i([[0, 1, 1], [1, 1, 1]])
    ),
    "coordinates": idiom(lambda m, x: torch.cat((x, grid_of(x).permute(0, 3, 1, 2)), 1), f(2, 3, 4, 5)),
    # gates and activations
    "swiglu": idiom(
        lambda m, x: m.down(F.silu(m.gate(x)) * m.up(x)),
        f(2, 8),
        gate=seeded(nn.Linear, 8, 12),
        up=seeded(nn.Linear, 8, 12),
        down=seeded(nn.Linear, 12, 8),
    ),
    "geglu": idiom(lambda m, x: (p := x.chunk(2, -1))[0] * F.gelu(p[1]), f(2, 8)),
    "geglu_of_channels": idiom(lambda m, x: (p := x.chunk(2, 1))[0] * F.gelu(p[1]), f(2, 4, 3, 3)),
    "glu": idiom(lambda m, x: F.glu(x, 1), f(2, 4, 3)),
    "gelu": idiom(lambda m, x: F.gelu(x), f(2, 8)),
    "gelu_tanh": idiom(lambda m, x: F.gelu(x, approximate="tanh"), f(2, 8)),
    "gelu_by_hand": idiom(lambda m, x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))), f(2, 8)),
    "gelu_by_hand_tanh": idiom(
        lambda m, x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3)))), f(2, 8)
    ),
    "gelu_quick": idiom(lambda m, x: x * torch.sigmoid(1.702 * x), f(2, 8)),
    "silu_by_hand": idiom(lambda m, x: x * torch.sigmoid(x), f(2, 8)),
    "leaky_by_hand": idiom(lambda m, x: torch.where(x >= 0, x, 0.1 * x), f(2, 8)),
    "leaky_by_maximum": idiom(lambda m, x: torch.maximum(x, 0.1 * x), f(2, 8)),
    "hardswish_by_hand": idiom(lambda m, x: x * F.relu6(x + 3) / 6, f(2, 8)),
    "hardsigmoid_by_hand": idiom(lambda m, x: torch.clamp(x / 6 + 0.5, 0, 1), f(2, 8)),
    "mish_by_hand": idiom(lambda m, x: x * torch.tanh(F.softplus(x)), f(2, 8)),
    "softplus_by_hand": idiom(lambda m, x: torch.log(1 + torch.exp(x)), f(2, 8)),
    "relu_squared": idiom(lambda m, x: torch.square(F.relu(x)), f(2, 8)),
    "activations": idiom(
        lambda m, x: (F.elu(x), F.selu(x), F.celu(x), F.mish(x), F.softsign(x), F.tanhshrink(x), F.logsigmoid(x)),
        f(2, 8),
    ),
    "shrinks": idiom(lambda m, x: (F.hardshrink(x), F.softshrink(x), F.threshold(x, 0.1, 20.0)), f(2, 8)),
    "hards": idiom(lambda m, x: (F.hardswish(x), F.hardsigmoid(x), F.hardtanh(x, -0.5, 0.5), F.relu6(x)), f(2, 8)),
    "prelu": idiom(lambda m, x: m.act(x), f(2, 4, 3), act=nn.PReLU(4)),
    "prelu_single": idiom(lambda m, x: m.act(x), f(2, 4), act=nn.PReLU()),
    "snake": idiom(lambda m, x: x + torch.sin(m.a * x) ** 2 / (m.a + 1e-9), f(2, 4, 6), a=pos(1, 4, 1)),
    "maxout": idiom(lambda m, x: x.unflatten(1, (2, 4)).max(2).values, f(2, 8)),
    "squeeze_excite": idiom(
        lambda m, x: x * torch.sigmoid(m.up(F.relu(m.down(x.mean((2, 3), keepdim=True))))),
        f(2, 4, 5, 5),
        down=seeded(nn.Conv2d, 4, 2, 1),
        up=seeded(nn.Conv2d, 2, 4, 1),
    ),
    "highway": idiom(lambda m, x, y: torch.lerp(x, y, torch.sigmoid(x)), f(2, 8), f(2, 8)),
    "adaptive_norm": idiom(
        lambda m, x, c: (
            F.layer_norm(x, (8,)) * (1 + (p := m.linear(F.silu(c)).chunk(2, -1))[0][:, None]) + p[1][:, None]
        ),
        f(2, 3, 8),
        f(2, 8),
        linear=seeded(nn.Linear, 8, 16),
    ),
    "layer_scale": idiom(lambda m, x: x + m.g * F.relu(x), f(2, 8), g=f(8)),
    "mixture_of_experts": idiom(mixture, f(3, 8), router=f(8, 4), w=f(4, 8, 6)),
    "gru_by_hand": idiom(gru_cell, f(2, 4), f(2, 5), wi=f(15, 4), wh=f(15, 5)),
    "gru": idiom(lambda m, x: m.rnn(x), f(2, 3, 4), rnn=seeded(nn.GRU, 4, 5, batch_first=True)),
    "lstm": idiom(lambda m, x: m.rnn(x)[0], f(2, 3, 4), rnn=seeded(nn.LSTM, 4, 5, batch_first=True)),
    "lstm_cell_module": idiom(lambda m, x: m.cell(x), f(2, 4), cell=seeded(nn.LSTMCell, 4, 5)),
    # convolutions
    "depthwise": idiom(
        lambda m, x: m.point(m.depth(x)),
        f(1, 4, 6, 6),
        depth=seeded(nn.Conv2d, 4, 4, 3, padding=1, groups=4),
        point=seeded(nn.Conv2d, 4, 6, 1),
    ),
    "conv_same": idiom(lambda m, x: m.conv(x), f(1, 3, 7, 7), conv=seeded(nn.Conv2d, 3, 4, 4, padding="same")),
    "conv_dilated_grouped": idiom(
        lambda m, x: m.conv(x), f(1, 4, 9, 9), conv=seeded(nn.Conv2d, 4, 6, 3, dilation=2, groups=2, stride=2)
    ),
    "conv_reflect": idiom(
        lambda m, x: m.conv(x), f(1, 3, 6, 6), conv=seeded(nn.Conv2d, 3, 4, 3, padding=1, padding_mode="reflect")
    ),
    "conv_circular": idiom(
        lambda m, x: m.conv(x), f(1, 3, 8), conv=seeded(nn.Conv1d, 3, 4, 3, padding=1, padding_mode="circular")
    ),
    "conv_replicate": idiom(
        lambda m, x: m.conv(x), f(1, 3, 8), conv=seeded(nn.Conv1d, 3, 4, 3, padding=1, padding_mode="replicate")
    ),
    "conv_causal": idiom(
        lambda m, x: m.conv(F.pad(x, (4, 0))), f(1, 3, 8), conv=seeded(nn.Conv1d, 3, 4, 3, dilation=2)
    ),
    "conv_3d": idiom(lambda m, x: m.conv(x), f(1, 2, 4, 5, 5), conv=seeded(nn.Conv3d, 2, 3, 3, padding=1)),
    "conv_without_batch": idiom(lambda m, x: m.conv(x), f(3, 6, 6), conv=seeded(nn.Conv2d, 3, 4, 3)),
    "conv_of_scaled_weight": idiom(
        lambda m, x: F.conv2d(x, m.w * 0.5 + m.w.mean(), m.b), f(1, 3, 6, 6), w=f(4, 3, 3, 3), b=f(4)
    ),
    "conv_modulated": idiom(
        lambda m, x, s: F.conv2d(
            x.reshape(1, 6, 5, 5), (m.w[None] * s[:, None, :, None, None]).reshape(8, 3, 3, 3), groups=2
        ),
        f(2, 3, 5, 5),
        f(2, 3),
        w=f(4, 3, 3, 3),
    ),
    "conv_transposed": idiom(
        lambda m, x: m.conv(x), f(1, 3, 5, 5), conv=seeded(nn.ConvTranspose2d, 3, 4, 4, stride=2, padding=1)
    ),
    "conv_transposed_odd": idiom(
        lambda m, x: m.conv(x),
        f(1, 4, 5),
        conv=seeded(nn.ConvTranspose1d, 4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
    ),
    "conv_norm_act": idiom(
        lambda m, x: F.silu(m.norm(m.conv(x))),
        f(1, 3, 8),
        conv=seeded(nn.Conv1d, 3, 4, 3),
        norm=nn.BatchNorm1d(4),
    ),
    "patches": idiom(
        lambda m, x: m.conv(x).flatten(2).transpose(1, 2), f(1, 3, 8, 8), conv=seeded(nn.Conv2d, 3, 6, 4, stride=4)
    ),
    "patches_by_view": idiom(
        lambda m, x: x.reshape(1, 3, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1).reshape(1, 4, 48), f(1, 3, 8, 8)
    ),
    "unfold": idiom(lambda m, x: F.unfold(x, 3, padding=1), f(1, 2, 4, 4)),
    "fold": idiom(lambda m, x: F.fold(x, (4, 4), 2, stride=2), f(1, 8, 4)),
    "pixel_shuffle": idiom(lambda m, x: F.pixel_shuffle(x, 2), f(1, 8, 3, 3)),
    "pixel_unshuffle": idiom(lambda m, x: F.pixel_unshuffle(x, 2), f(1, 2, 4, 4)),
    "channel_shuffle": idiom(
        lambda m, x: x.view(1, 2, 3, 4, 4).transpose(1, 2).contiguous().view(1, 6, 4, 4), f(1, 6, 4, 4)
    ),
    "shuffle_unit": idiom(
        lambda m, x: torch.cat(((p := x.chunk(2, 1))[0], m.conv(p[1])), 1),
        f(1, 4, 4, 4),
        conv=seeded(nn.Conv2d, 2, 2, 1),
    ),
    "space_to_depth": idiom(lambda m, x: space_to_depth(x), f(1, 2, 4, 4)),
    "linear_of_vector": idiom(lambda m, x: m.linear(x), f(4), linear=seeded(nn.Linear, 4, 3)),
    "bilinear": idiom(lambda m, x, y: m.both(x, y), f(2, 3), f(2, 4), both=seeded(nn.Bilinear, 3, 4, 5)),
    # pooling
    "max_pool": idiom(lambda m, x: F.max_pool2d(x, 2), f(1, 3, 6, 6)),
    "max_pool_padded": idiom(lambda m, x: F.max_pool2d(x, 3, 2, 1), f(1, 3, 7, 7)),
    "max_pool_ceil": idiom(lambda m, x: F.max_pool2d(x, 3, 2, ceil_mode=True), f(1, 3, 6, 6)),
    "max_pool_ceil_padded": idiom(lambda m, x: F.max_pool2d(x, 2, 2, 1, ceil_mode=True), f(1, 3, 5, 5)),
    "max_pool_lines": idiom(lambda m, x: F.max_pool1d(x, 3, 1, 1), f(1, 3, 7)),
    "max_pool_without_batch": idiom(lambda m, x: F.max_pool2d(x, 2), f(3, 6, 6)),
    "max_pool_and_back": idiom(lambda m, x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2), f(1, 2, 4, 4)),
    "avg_pool": idiom(lambda m, x: F.avg_pool2d(x, 2), f(1, 3, 6, 6)),
    "avg_pool_padded": idiom(lambda m, x: F.avg_pool2d(x, 3, 2, 1), f(1, 3, 7, 7)),
    "avg_pool_uncounted": idiom(lambda m, x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), f(1, 3, 6, 6)),
    "avg_pool_ceil": idiom(lambda m, x: F.avg_pool2d(x, 3, 2, ceil_mode=True), f(1, 3, 6, 6)),
    "avg_pool_ceil_padded": idiom(lambda m, x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), f(1, 3, 6, 6)),
    "avg_pool_lines": idiom(lambda m, x: F.avg_pool1d(x, 3, 2, 1), f(1, 3, 8)),
    "avg_pool_blocks": idiom(lambda m, x: F.avg_pool3d(x, 2), f(1, 2, 4, 4, 4)),
    "pool_to_one": idiom(lambda m, x: F.adaptive_avg_pool2d(x, 1).flatten(1), f(2, 3, 5, 5)),
    "pool_to_even": idiom(lambda m, x: F.adaptive_avg_pool2d(x, 3), f(2, 3, 6, 6)),
    "pool_to_odd": idiom(lambda m, x: F.adaptive_avg_pool2d(x, (3, 2)), f(2, 3, 7, 5)),
    "pool_to_line": idiom(lambda m, x: F.adaptive_avg_pool1d(x, 1).squeeze(-1), f(2, 3, 5)),
    "pool_height": idiom(lambda m, x: F.adaptive_avg_pool2d(x, (None, 1)), f(2, 3, 5, 5)),
    "max_pool_to_one": idiom(lambda m, x: F.adaptive_max_pool2d(x, 1), f(2, 3, 5, 5)),
    "max_pool_to_even": idiom(lambda m, x: F.adaptive_max_pool2d(x, 3), f(2, 3, 6, 6)),
    "max_pool_line_to_one": idiom(lambda m, x: F.adaptive_max_pool1d(x, 1), f(2, 3, 6)),
    "lp_pool": idiom(lambda m, x: F.lp_pool2d(x, 2, 2), pos(1, 2, 4, 4)),
    "generalized_mean": idiom(lambda m, x: F.avg_pool2d(x.clamp(min=1e-6).pow(3), (5, 5)).pow(1 / 3), pos(1, 2, 5, 5)),
    "attentive_pool": idiom(
        lambda m, x: (torch.softmax(m.linear(x), 1) * x).sum(1), f(2, 5, 4), linear=seeded(nn.Linear, 4, 1)
    ),
    "statistics_pool": idiom(lambda m, x: torch.cat((x.mean(-1), x.std(-1)), 1), f(2, 4, 6)),
    # padding and resizing
    "pad_last": idiom(lambda m, x: F.pad(x, (1, 2)), f(2, 5)),
    "pad_value": idiom(lambda m, x: F.pad(x, (1, 0, 0, 2), value=-1.5), f(1, 2, 4, 4)),
    "pad_reflect": idiom(lambda m, x: F.pad(x, (1, 2, 2, 1), mode="reflect"), f(1, 2, 4, 4)),
    "pad_reflect_line": idiom(lambda m, x: F.pad(x, (2, 2), mode="reflect"), f(1, 2, 5)),
    "pad_replicate": idiom(lambda m, x: F.pad(x, (1, 2, 2, 1), mode="replicate"), f(1, 2, 4, 4)),
    "pad_circular": idiom(lambda m, x: F.pad(x, (1, 1, 1, 1), mode="circular"), f(1, 2, 4, 4)),
    "pad_negative": idiom(lambda m, x: F.pad(x, (-1, -1)), f(2, 6)),
    "pad_first": idiom(lambda m, x: F.pad(x, (0, 0, 1, 1)), f(3, 4)),
    "pad_integers": idiom(lambda m, x: F.pad(x, (0, 2), value=7), i([[1, 2, 3], [4, 5, 6]])),
    "pad_booleans": idiom(lambda m, x: F.pad(x > 0, (1, 0), value=True), f(2, 3)),
    "resize_nearest": idiom(lambda m, x: F.interpolate(x, scale_factor=2), f(1, 2, 4, 4)),
    "resize_nearest_odd": idiom(lambda m, x: F.interpolate(x, size=(7, 5)), f(1, 2, 4, 4)),
    "resize_nearest_exact": idiom(lambda m, x: F.interpolate(x, size=(7, 5), mode="nearest-exact"), f(1, 2, 4, 4)),
    "resize_nearest_line": idiom(lambda m, x: F.interpolate(x, scale_factor=1.5), f(1, 2, 6)),
    "resize_bilinear": idiom(lambda m, x: F.interpolate(x, scale_factor=2, mode="bilinear"), f(1, 2, 4, 4)),
    "resize_bilinear_corners": idiom(
        lambda m, x: F.interpolate(x, size=(7, 5), mode="bilinear", align_corners=True), f(1, 2, 4, 4)
    ),
    "resize_bilinear_down": idiom(lambda m, x: F.interpolate(x, size=(3, 2), mode="bilinear"), f(1, 2, 7, 8)),
    "resize_bilinear_smooth": idiom(
        lambda m, x: F.interpolate(x, size=(3, 2), mode="bilinear", antialias=True), f(1, 2, 7, 8)
    ),
    "resize_bicubic": idiom(lambda m, x: F.interpolate(x, size=(7, 5), mode="bicubic"), f(1, 2, 4, 4)),
    "resize_linear": idiom(lambda m, x: F.interpolate(x, scale_factor=2, mode="linear"), f(1, 2, 6)),
    "resize_area": idiom(lambda m, x: F.interpolate(x, size=(2, 2), mode="area"), f(1, 2, 5, 5)),
    "grid_sample": idiom(lambda m, x: F.grid_sample(x, grid_of(x) * 0.9, align_corners=False), f(1, 2, 4, 4)),
    "grid_sample_border": idiom(
        lambda m, x, at: F.grid_sample(x, at, padding_mode="border", align_corners=True), f(1, 2, 4, 4), f(1, 3, 3, 2)
    ),
    "grid_sample_nearest": idiom(
        lambda m, x, at: F.grid_sample(x, at, mode="nearest", padding_mode="reflection", align_corners=False),
        f(1, 2, 4, 4),
        f(1, 3, 3, 2),
    ),
    "affine_grid": idiom(
        lambda m, x, theta: F.grid_sample(
            x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False
        ),
        f(1, 2, 4, 4),
        f(1, 2, 3),
    ),
    # indices
    "embedding": idiom(lambda m, x: m.words(x) * 2, i([[1, 2], [3, 0]]), words=seeded(nn.Embedding, 9, 4)),
    "embedding_padding": idiom(
        lambda m, x: m.words(x), i([[1, 2], [3, 0]]), words=seeded(nn.Embedding, 9, 4, padding_idx=0)
    ),
    "embedding_narrow": idiom(lambda m, x: m.words(x), i32(1, 2, 3), words=seeded(nn.Embedding, 9, 4)),
    "embedding_bag": idiom(lambda m, x: m.bag(x), i([[1, 2], [3, 0]]), bag=seeded(nn.EmbeddingBag, 9, 4, mode="mean")),
    "tied_embedding": idiom(
        lambda m, x: F.linear(m.words(x), m.words.weight), i([[1, 2], [3, 0]]), words=seeded(nn.Embedding, 9, 4)
    ),
    "index_rows": idiom(lambda m, x, at: x[at], f(5, 4), i(0, 2, 3)),
    "index_rows_narrow": idiom(lambda m, x, at: x[at], f(5, 4), i32(0, 2, 3)),
    "index_negative": idiom(lambda m, x, at: x[:, at], f(2, 5), i(-1, -3, -2)),
    "index_pairs": idiom(lambda m, x, at: x[torch.arange(2), at], f(2, 5, 4), i(1, 3)),
    "index_two_apart": idiom(lambda m, x, at: x[at, :, at], f(4, 3, 4), i(0, 2)),
    "index_by_matrix": idiom(lambda m, x, at: x[:, at], f(2, 5, 3), i([[0, 1], [3, 2]])),
    "index_by_constant": idiom(lambda m, x: x[:, [2, 0, 1]], f(2, 3, 4)),
    "index_last_token": idiom(
        lambda m, x, mask: x[torch.arange(2), mask.sum(1) - 1], f(2, 3, 4), i([[1, 1, 0], [1, 1, 1]])
    ),
    "index_at_end": idiom(lambda m, x, ids: x[torch.arange(2), ids.argmax(-1)], f(2, 3, 4), i([[1, 5, 0], [1, 2, 9]])),
    "index_none": idiom(lambda m, x: x[:, None, :, None] * x[None, :, None], f(3, 4)),
    "select_last": idiom(lambda m, x: (x[:, -1], x[:, 0], x[..., -2:]), f(2, 4, 5)),
    "slices": idiom(lambda m, x: (x[:, 1:-1], x[:, ::2], x[:, :100]), f(2, 6)),
    "flip": idiom(lambda m, x: x.flip(1), f(2, 4, 3)),
    "gather": idiom(lambda m, x, at: x.gather(1, at), f(2, 5), i([[0, 2], [1, 3]])),
    "gather_expanded": idiom(
        lambda m, x, at: x.gather(1, at[..., None].expand(-1, -1, 4)), f(2, 5, 4), i([[0, 2], [1, 3]])
    ),
    "take_along": idiom(lambda m, x: torch.take_along_dim(x, x.argsort(-1), -1), f(2, 5)),
    "index_select": idiom(lambda m, x, at: torch.index_select(x, 1, at), f(2, 5, 3), i(0, 3)),
    "scatter": idiom(lambda m, x, at: torch.zeros(2, 5, dtype=x.dtype).scatter(1, at, x), f(2, 2), i([[0, 2], [1, 3]])),
    "scatter_value": idiom(lambda m, x, at: x.scatter(1, at, 7.0), f(2, 5), i([[0, 2], [1, 3]])),
    "scatter_add": idiom(
        lambda m, x, at: torch.zeros(4, 3, dtype=x.dtype).scatter_add(0, at[:, None].expand(-1, 3), x),
        f(3, 3),
        i(0, 2, 0),
    ),
    "scatter_amax": idiom(
        lambda m, x, at: torch.zeros(4, dtype=x.dtype).scatter_reduce(0, at, x, "amax"), f(3), i(0, 2, 0)
    ),
    "scatter_mean": idiom(
        lambda m, x, at: torch.zeros(4, dtype=x.dtype).scatter_reduce(0, at, x, "mean", include_self=False),
        f(3),
        i(0, 2, 0),
    ),
    "index_add": idiom(lambda m, x, at: torch.zeros(4, 3, dtype=x.dtype).index_add(0, at, x), f(3, 3), i(0, 2, 0)),
    "index_put": idiom(lambda m, x, at: x.index_put((at,), x[:2] * 2), f(4, 3), i(0, 2)),
    "index_put_add": idiom(lambda m, x, at: x.index_put((at,), x[:3] * 2, accumulate=True), f(4, 3), i(0, 2, 0)),
    "index_put_pairs": idiom(lambda m, x, at: x.index_put((torch.arange(2), at), x[:, 0] * 2), f(2, 4), i(1, 2)),
    "index_fill": idiom(lambda m, x, at: x.index_fill(1, at, -1.0), f(2, 4), i(0, 2)),
    "masked_assign": idiom(lambda m, x: (y := x.clone(), y.__setitem__(y < 0, 0.0), y)[2], f(2, 4)),
    "slice_assign": idiom(lambda m, x: filled_places(x), f(2, 4)),
    "fresh_filled": idiom(lambda m, x: fresh_filled(x), f(2, 4)),
    "fresh_and_filled": idiom(lambda m, x: torch.empty_like(x).fill_(2.0) + x, f(2, 4)),
    "one_hot": idiom(lambda m, x: F.one_hot(x, 5).float() @ m.w, i(0, 2, 3), w=f(5, 3)),
    "one_hot_by_hand": idiom(lambda m, x: (x[:, None] == torch.arange(5)).float(), i(0, 2, 3)),
    "masked_scatter": idiom(lambda m, x, y: x.masked_scatter(x > 0, y), f(2, 4), f(2, 4)),
    "diagonal": idiom(lambda m, x: torch.diagonal(x, dim1=1, dim2=2), f(2, 4, 4)),
    "diag_embed": idiom(lambda m, x: torch.diag_embed(x), f(2, 4)),
    "without_diagonal": idiom(lambda m, x: x * (1 - torch.eye(4, dtype=x.dtype)), f(4, 4)),
    "tril": idiom(lambda m, x: torch.tril(x, -1) + torch.triu(x, 2), f(2, 4, 4)),
    "roll": idiom(lambda m, x: torch.roll(x, 1, -1), f(2, 5)),
    "roll_flat": idiom(lambda m, x: torch.roll(x, 2), f(2, 5)),
    "repeat": idiom(lambda m, x: (x.repeat(2, 3), x.tile(2), x.repeat_interleave(2, 0)), f(2, 3)),
    "meshgrid": idiom(lambda m, x, y: torch.stack(torch.meshgrid(x, y, indexing="ij"), -1), f(3), f(4)),
    "cartesian": idiom(lambda m, x, y: torch.cartesian_prod(x, y), f(3), f(4)),
    "splits": idiom(lambda m, x: (*x.split(2, 1), *x.split([1, 4], 1), *x.tensor_split(2, 1)), f(2, 5)),
    "chunks_uneven": idiom(lambda m, x: x.chunk(3, 1), f(2, 7)),
    "unbind": idiom(lambda m, x: sum(x.unbind(1)), f(2, 3, 4)),
    "stack": idiom(lambda m, x, y: torch.stack((x, y), 1).flatten(0, 1), f(2, 4), f(2, 4)),
    "cat_dtypes": idiom(lambda m, x, y: torch.cat((x, y.to(x.dtype)), 1), f(2, 4), i([[1], [2]])),
    "cat_mixed": idiom(lambda m, x, y: torch.cat((x, y), 1), f(2, 4), i([[1], [2]])),
    "movedim": idiom(lambda m, x: x.movedim(1, -1), f(2, 3, 4)),
    "swap_and_view": idiom(lambda m, x: x.transpose(1, 2).reshape(2, -1), f(2, 3, 4)),
    "squeezes": idiom(lambda m, x: (x.squeeze(), x.squeeze(1), x.unsqueeze(0).squeeze((0, 2))), f(2, 1, 3)),
    "expand_as": idiom(lambda m, x: x[:, :1].expand_as(x) + x, f(2, 4)),
    "broadcast": idiom(lambda m, x, y: torch.broadcast_tensors(x, y)[0] * y, f(2, 1), f(1, 3)),
    "view_as_pairs": idiom(lambda m, x: x.view(2, -1, 2).flip(-1).reshape(2, -1), f(2, 6)),
    # reductions and order
    "mean_of_all": idiom(lambda m, x: x.mean(), f(2, 4)),
    "mean_dtype": idiom(lambda m, x: x.mean(1, dtype=torch.float32), i([[1, 2], [3, 5]])),
    "sum_keepdim": idiom(lambda m, x: (x.sum((0, 2), keepdim=True), x.sum(-1)), f(2, 3, 4)),
    "sum_of_booleans": idiom(lambda m, x: (x > 0).sum(1), f(2, 4)),
    "sum_in_float": idiom(lambda m, x: (x > 0).sum(1, dtype=torch.float32) / 4, f(2, 4)),
    "mean_of_booleans": idiom(lambda m, x: (x > 0).float().mean(), f(2, 4)),
    "prod": idiom(lambda m, x: (x.prod(), x.prod(1, keepdim=True)), f(2, 4)),
    "variances": idiom(lambda m, x: (x.var(1), x.var(1, unbiased=False), x.std(), torch.var_mean(x, 1)[1]), f(2, 4)),
    "variance_correction": idiom(lambda m, x: torch.var(x, (1, 2), correction=2, keepdim=True), f(2, 3, 4)),
    "extremes": idiom(
        lambda m, x: (x.max(), x.min(), x.amax(1), x.amin((0, 1)), *x.max(1), *x.min(0, keepdim=True)), f(2, 4)
    ),
    "extremes_of_integers": idiom(lambda m, x: (x.max(), x.amax(1), x.max(1).values), i([[1, 5], [7, -2]])),
    "aminmax": idiom(lambda m, x: tuple(torch.aminmax(x, dim=1)), f(2, 4)),
    "argmax": idiom(lambda m, x: (x.argmax(), x.argmax(1), x.argmin(0, keepdim=True)), f(2, 4)),
    "argmax_ties": idiom(lambda m, x: (x > 0).int().argmax(1), f(2, 4)),
    "all_any": idiom(lambda m, x: ((x > 0).all(), (x > 0).any(1), (x > 0).all(1, keepdim=True)), f(2, 4)),
    "topk": idiom(lambda m, x: torch.topk(x, 2, 1), f(2, 5)),
    "topk_smallest": idiom(lambda m, x: torch.topk(x, 2, 1, largest=False).indices, f(2, 5)),
    "topk_threshold": idiom(lambda m, x: x.masked_fill(x < torch.topk(x, 2).values[:, -1:], float("-inf")), f(2, 5)),
    "sort": idiom(lambda m, x: torch.sort(x, 1), f(2, 5)),
    "sort_descending": idiom(lambda m, x: torch.sort(x, -1, descending=True).values, f(2, 5)),
    "argsort": idiom(lambda m, x: torch.argsort(x, 1), f(2, 5)),
    "ranks": idiom(lambda m, x: x.argsort(1).argsort(1), f(2, 5)),
    "nucleus": idiom(
        lambda m, x: (torch.sort(x.softmax(-1), -1, descending=True).values.cumsum(-1) > 0.7).sum(-1), f(2, 5)
    ),
    "cumsum": idiom(lambda m, x: (x.cumsum(1), x.flip(1).cumsum(1).flip(1)), f(2, 5)),
    "cumsum_of_integers": idiom(lambda m, x: x.cumsum(0), i([[1, 2], [3, 4]])),
    "cumsum_of_booleans": idiom(lambda m, x: (x > 0).cumsum(1), f(2, 5)),
    "cumprod": idiom(lambda m, x: torch.cumprod(1 - x + 1e-3, -1), pos(2, 5)),
    "cummax": idiom(lambda m, x: torch.cummax(x, 1).values, f(2, 5)),
    "diff": idiom(lambda m, x: torch.diff(x, dim=1), f(2, 5)),
    "median": idiom(lambda m, x: x.median(1).values, f(2, 5)),
    "count_nonzero": idiom(lambda m, x: torch.count_nonzero(x > 0, 1), f(2, 5)),
    "bucketize": idiom(lambda m, x: torch.bucketize(x, m.bounds), f(2, 5), bounds=torch.tensor([-1.0, 0.0, 1.0])),
    "searchsorted": idiom(lambda m, x: torch.searchsorted(m.bounds, x), f(2, 5), bounds=torch.tensor([-1.0, 0.0, 1.0])),
    # products
    "matmul_shapes": idiom(
        lambda m, x, y: (x @ y, x[0] @ y[0], x[0, 0] @ y[0], x @ y[0, :, 0]), f(2, 3, 4), f(2, 4, 5)
    ),
    "matmul_broadcast": idiom(lambda m, x, y: x @ y, f(2, 1, 3, 4), f(2, 4, 5)),
    "matmul_of_integers": idiom(lambda m, x: x @ x.t(), i([[1, 2], [3, 4]])),
    "dot": idiom(lambda m, x, y: torch.dot(x, y), f(4), f(4)),
    "outer": idiom(lambda m, x, y: torch.outer(x, y), f(4), f(3)),
    "baddbmm": idiom(
        lambda m, x, y: torch.baddbmm(m.b, x, y, beta=0.5, alpha=2.0), f(2, 3, 4), f(2, 4, 5), b=f(2, 3, 5)
    ),
    "addmm": idiom(lambda m, x: torch.addmm(m.b, x, m.w, alpha=0.5), f(2, 3), b=f(4), w=f(3, 4)),
    "low_rank": idiom(
        lambda m, x: F.linear(x, m.w) + (x @ m.a.t() @ m.b.t()) * 0.5, f(2, 4), w=f(4, 4), a=f(2, 4), b=f(4, 2)
    ),
    "distances": idiom(lambda m, x, y: ((x[:, None] - y[None]) ** 2).sum(-1), f(3, 4), f(5, 4)),
    "cdist": idiom(lambda m, x, y: torch.cdist(x, y), f(1, 3, 4), f(1, 5, 4)),
    "cosine_similarity": idiom(lambda m, x, y: F.cosine_similarity(x, y, dim=1), f(2, 4), f(2, 4)),
    "einsum_vectors": idiom(lambda m, x, y: torch.einsum("i,i->", x, y), f(4), f(4)),
    "einsum_outer": idiom(lambda m, x, y: torch.einsum("i,j->ij", x, y), f(4), f(3)),
    "einsum_all": idiom(lambda m, x, y: torch.einsum("ij,ij->", x, y), f(2, 4), f(2, 4)),
    "einsum_sum": idiom(lambda m, x: (torch.einsum("ij->i", x), torch.einsum("ij->", x)), f(2, 4)),
    "einsum_diagonal": idiom(lambda m, x: (torch.einsum("ii->i", x), torch.einsum("ii->", x)), f(4, 4)),
    "einsum_transpose": idiom(lambda m, x: torch.einsum("bij->bji", x), f(2, 3, 4)),
    "einsum_rows": idiom(lambda m, x, y: torch.einsum("bi,bi->b", x, y), f(2, 4), f(2, 4)),
    "einsum_batch": idiom(lambda m, x, y: torch.einsum("bij,bjk->bik", x, y), f(2, 3, 4), f(2, 4, 5)),
    "einsum_elementwise": idiom(lambda m, x, y: torch.einsum("bij,bij->bij", x, y), f(2, 3, 4), f(2, 3, 4)),
    "einsum_ellipsis": idiom(lambda m, x, y: torch.einsum("...ij,...jk->...ik", x, y), f(2, 3, 4), f(2, 4, 5)),
    "einsum_three": idiom(lambda m, x, y: torch.einsum("bi,ij,bj->b", x, m.w, y), f(2, 3), f(2, 4), w=f(3, 4)),
    "einsum_matrix_vector": idiom(lambda m, x, y: torch.einsum("ij,j->i", x, y), f(3, 4), f(4)),
    "einsum_broadcast": idiom(lambda m, x, y: torch.einsum("bhwc,hkc->bhwk", x, y), f(1, 2, 3, 4), f(2, 5, 4)),
    "tensordot": idiom(lambda m, x, y: torch.tensordot(x, y, dims=([1, 2], [0, 1])), f(2, 3, 4), f(3, 4, 5)),
    # dtypes and integers
    "to_other": idiom(lambda m, x: (x.int(), x.long(), x.bool(), x.double().float()), f(2, 4) * 10),
    "to_half": idiom(lambda m, x: (x.half() * 2).float(), f(2, 4)),
    "to_bfloat16": idiom(lambda m, x: (x.bfloat16() * 2).float(), f(2, 4)),
    "to_uint8": idiom(lambda m, x: (x * 255).clamp(0, 255).to(torch.uint8), pos(2, 4) / 2),
    "to_copy": idiom(lambda m, x: x.to(x.dtype, copy=True) * 2, f(2, 4)),
    "to_other_copy": idiom(lambda m, x: x.to(torch.int32, copy=True), f(2, 4)),
    "type_as": idiom(lambda m, x, y: y.type_as(x) + x, f(2, 4), i([[1, 2, 3, 4]])),
    "images": idiom(
        lambda m, x: (x.float() / 255 - m.mean) / m.std,
        torch.tensor([[[[0, 200], [255, 7]]]], dtype=torch.uint8),
        mean=f(1, 1, 1),
        std=pos(1, 1, 1),
    ),
    "quantized": idiom(lambda m, x: quantized(x), f(2, 6)),
    "weights_of_8_bits": idiom(
        lambda m, x: x @ (m.w.to(x.dtype) * m.scale).t(),
        f(2, 4),
        w=torch.arange(-6, 6, dtype=torch.int8).reshape(3, 4),
        scale=pos(3, 1),
    ),
    "weights_of_4_bits": idiom(
        lambda m, x: x @ (torch.stack((m.w & 15, m.w >> 4), -1).flatten(1).to(x.dtype) - 8),
        f(2, 3),
        w=torch.arange(12, dtype=torch.uint8).reshape(3, 4) * 17,
    ),
    "integer_arithmetic": idiom(
        lambda m, x: (x + 1, x * 2 - 3, -x, x // 2, x % 3, x / 2, x**2, abs(x)), i([[1, -5], [7, -2]])
    ),
    "integer_and_float": idiom(lambda m, x, y: (x * y, y + 0.5, y * 2.0), f(2, 2), i([[1, 5], [7, 2]])),
    "integer_division": idiom(
        lambda m, x: (
            torch.div(x, 3, rounding_mode="floor"),
            torch.div(x, 3, rounding_mode="trunc"),
            x.remainder(-3),
            x.fmod(3),
        ),
        i([[1, -5], [7, -2]]),
    ),
    "float_division": idiom(
        lambda m, x: (x // 0.7, x % 0.7, torch.fmod(x, 0.7), torch.div(x, 0.7, rounding_mode="trunc")), f(2, 4)
    ),
    "bits": idiom(lambda m, x: (x & 6, x | 1, x ^ 3, ~x, x << 1, x >> 1), i([[1, 5], [7, 2]])),
    "booleans": idiom(lambda m, x, y: ((x > 0) & (y > 0), (x > 0) | (y > 0), ~(x > 0), (x > 0) ^ (y > 0)), f(4), f(4)),
    "logical": idiom(
        lambda m, x, y: (torch.logical_and(x, y), torch.logical_not(x), torch.logical_xor(x, y)), f(4), i(0, 1, 0, 2)
    ),
    "hash_of_ids": idiom(lambda m, x: (x * 31 + 7) % 13, i([[1, 5], [7, 2]])),
    "comparisons": idiom(lambda m, x, y: (x == y, x != y, x >= 0, x < y, (x > y).float()), f(4), f(4)),
    "compare_to_integer": idiom(lambda m, x, y: (x > y, y == 1, y >= 0.5), f(4), i(0, 1, 0, 2)),
    "isclose": idiom(lambda m, x, y: torch.isclose(x, y), f(4), f(4)),
    "finite": idiom(lambda m, x: torch.where(torch.isfinite(x.log()), x.log(), torch.zeros_like(x)), f(4)),
    "nan_to_num": idiom(lambda m, x: torch.nan_to_num(x.log(), 0.0, 1.0, -1.0), f(4)),
    "where_numbers": idiom(lambda m, x: (torch.where(x > 0, 1.0, -1.0), torch.where(x > 0, x, 0.0)), f(4)),
    "where_integers": idiom(lambda m, x: torch.where(x > 2, x, -100), i(1, 5, 7, 2)),
    "where_mixed": idiom(lambda m, x, y: torch.where(y > 1, x, y), f(4), i(0, 1, 0, 2)),
    "where_broadcast": idiom(lambda m, x, y: torch.where((y > 0)[:, None], x, m.w), f(4, 3), f(4), w=f(3)),
    "clamps": idiom(
        lambda m, x, y: (x.clamp(-0.5, 0.5), x.clamp(min=0.1), x.clamp(max=y), torch.clamp(x, y - 1, y + 1)), f(4), f(4)
    ),
    "clamp_integers": idiom(lambda m, x: (x.clamp(0, 5), x.clamp(min=1)), i(-1, 5, 7, 2)),
    "rounding": idiom(lambda m, x: (x.round(), x.floor(), x.ceil(), x.trunc(), x.frac(), x.sign()), f(6) * 3),
    "round_halves": idiom(
        lambda m, x: (x * 2).round() / 2 + torch.round(m.halves),
        f(6),
        halves=torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -2.5]),
    ),
    "powers": idiom(lambda m, x: (x**2, x**0.5, x**-1, 2**x, x**x), pos(4)),
    "power_of_negative": idiom(lambda m, x: (x**3, x**2.0, x.square()), f(4)),
    "exponentials": idiom(lambda m, x: (x.exp(), x.expm1(), x.log(), x.log1p(), x.log2(), x.log10(), x.exp2()), pos(4)),
    "trigonometry": idiom(
        lambda m, x: (x.sin(), x.cos(), x.tan(), x.sinh(), x.cosh(), x.atan(), torch.atan2(x, x + 1)), f(4)
    ),
    "reciprocals": idiom(lambda m, x: (1 / x, x.rsqrt(), x.reciprocal(), 3.0 - x, x.neg()), pos(4)),
    "logit": idiom(lambda m, x: torch.logit(x.clamp(1e-3, 1 - 1e-3)), pos(4) / 2),
    "addc": idiom(
        lambda m, x, y: (torch.addcmul(x, y, y, value=0.5), torch.addcdiv(x, y, y + 3, value=0.5)), f(4), pos(4)
    ),
    "add_alpha": idiom(
        lambda m, x, y: (torch.add(x, y, alpha=2), torch.sub(x, y, alpha=0.5), torch.rsub(x, y)), f(4), f(4)
    ),
    "scalar_tensor": idiom(lambda m, x: x * torch.tensor(0.5) + x.max() - x.mean(), f(2, 4)),
    "new_tensors": idiom(
        lambda m, x: x.new_zeros(2, 3) + x.new_ones(3) + x.new_full((2, 1), 0.5) + torch.full_like(x, 2.0), f(2, 3)
    ),
    "aranges": idiom(lambda m, x: x + torch.arange(6) + torch.arange(0, 3, 0.5) + torch.linspace(0, 1, 6), f(2, 6)),
    "arange_returned": idiom(lambda m, x: (torch.arange(3), torch.arange(3)[None].expand(2, 3), x), f(2)),
    # losses and boxes
    "cross_entropy": idiom(lambda m, x, y: F.cross_entropy(x, y), f(3, 5), i(0, 2, 3)),
    "cross_entropy_smooth": idiom(lambda m, x, y: F.cross_entropy(x, y, label_smoothing=0.1), f(3, 5), i(0, 2, 3)),
    "cross_entropy_ignored": idiom(lambda m, x, y: F.cross_entropy(x, y, ignore_index=2), f(3, 5), i(0, 2, 3)),
    "cross_entropy_weight": idiom(
        lambda m, x, y: F.cross_entropy(x, y, m.w, reduction="none"), f(3, 5), i(0, 2, 3), w=pos(5)
    ),
    "cross_entropy_soft": idiom(lambda m, x, y: F.cross_entropy(x, y.softmax(-1)), f(3, 5), f(3, 5)),
    "cross_entropy_of_images": idiom(lambda m, x, y: F.cross_entropy(x, y), f(2, 5, 2), i([[0, 2], [1, 3]])),
    "nll": idiom(lambda m, x, y: F.nll_loss(F.log_softmax(x, -1), y), f(3, 5), i(0, 2, 3)),
    "shifted_loss": idiom(
        lambda m, x, y: F.cross_entropy(x[:, :-1].reshape(-1, 5), y[:, 1:].reshape(-1)),
        f(2, 3, 5),
        i([[0, 1, 2], [3, 1, 0]]),
    ),
    "regressions": idiom(
        lambda m, x, y: (F.mse_loss(x, y), F.l1_loss(x, y), F.smooth_l1_loss(x, y), F.huber_loss(x, y, delta=0.5)),
        f(4),
        f(4),
    ),
    "binary_losses": idiom(
        lambda m, x, y: (F.binary_cross_entropy(x, y), F.binary_cross_entropy_with_logits(x, y)), pos(4) / 2, pos(4) / 2
    ),
    "kl_div": idiom(
        lambda m, x, y: F.kl_div(x.log_softmax(-1), y.softmax(-1), reduction="batchmean"), f(2, 4), f(2, 4)
    ),
    "margins": idiom(
        lambda m, x, y: (
            F.margin_ranking_loss(x, y, torch.ones_like(x)),
            F.triplet_margin_loss(x[None], y[None], x[None] * 2),
        ),
        f(4),
        f(4),
    ),
    "contrast": idiom(lambda m, a, b: contrast(a, b), f(3, 4), f(3, 4)),
    "focal": idiom(lambda m, x, y: focal(x, y), f(4), pos(4) / 2),
    "dice": idiom(
        lambda m, x, y: 1 - 2 * (x.sigmoid() * y).sum() / (x.sigmoid().sum() + y.sum() + 1e-5), f(2, 4), pos(2, 4)
    ),
    "entropy": idiom(lambda m, x: -(x.softmax(-1) * x.log_softmax(-1)).sum(-1), f(2, 4)),
    "accuracy": idiom(lambda m, x, y: (x.argmax(-1) == y).float().mean(), f(3, 5), i(0, 2, 3)),
    "overlaps": idiom(lambda m, a, b: boxes_overlap(a, b), f(3, 4), f(2, 4)),
    "boxes_decoded": idiom(
        lambda m, x: torch.cat((x[..., :2] - x[..., 2:].exp() / 2, x[..., :2] + x[..., 2:].exp() / 2), -1), f(2, 3, 4)
    ),
    "distribution_of_boxes": idiom(
        lambda m, x: (
            x.view(1, 4, 5, 3).transpose(2, 1).softmax(1).mul(torch.arange(5).to(x.dtype).view(1, 5, 1, 1)).sum(1)
        ),
        f(1, 20, 3),
    ),
    "masked_mean": idiom(lambda m, x, n: masked_mean(x, n), f(2, 4, 3), i(2, 3)),
    "pooled_by_mask": idiom(
        lambda m, x, mask: (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1e-9),
        f(2, 3, 4),
        torch.tensor([[1.0, 1, 0], [1, 1, 1]]),
    ),
    # signals
    "frames": idiom(lambda m, x: filters(x), f(2, 32)),
    "unfold_frames": idiom(lambda m, x: x.unfold(1, 4, 2).mean(-1), f(2, 12)),
    "preemphasis": idiom(lambda m, x: torch.cat((x[:, :1], x[:, 1:] - 0.97 * x[:, :-1]), 1), f(2, 8)),
    "decibels": idiom(
        lambda m, x: torch.maximum(10 * (y := torch.clamp(x, min=1e-5).log10()), (10 * y).max() - 8.0), pos(2, 8)
    ),
    "mu_law": idiom(
        lambda m, x: (torch.sign(x) * torch.log1p(255 * x.abs()) / math.log1p(255) * 127.5 + 127.5).to(torch.int32),
        pos(2, 8) / 2,
    ),
    "spectrum_by_matrix": idiom(
        lambda m, x: torch.sqrt((x @ m.cos) ** 2 + (x @ m.sin) ** 2 + 1e-8), f(2, 8), cos=f(8, 5), sin=f(8, 5)
    ),
    "spectrum": idiom(lambda m, x: torch.fft.rfft(x).abs(), f(2, 8)),
    "moving_average": idiom(
        lambda m, x: F.conv1d(x[:, None], torch.ones(1, 1, 3, dtype=x.dtype) / 3, padding=1)[:, 0], f(2, 8)
    ),
    "sobel": idiom(
        lambda m, x: F.conv2d(x, m.k.to(x.dtype).expand(3, 1, 3, 3), padding=1, groups=3),
        f(1, 3, 5, 5),
        k=i([[[[1, 0, -1], [2, 0, -2], [1, 0, -1]]]]),
    ),
    # state in buffers
    "state_count": idiom(lambda m, x: (m.state_n.add_(1), x * m.state_n)[1], f(3), state_n=zeros(1, dtype=torch.int64)),
    "state_count_scalar": idiom(lambda m, x: (m.state_n.add_(1), x * m.state_n)[1], f(3), state_n=torch.tensor(0)),
    "state_sum": idiom(lambda m, x: m.state_sum.add_(x).clone(), f(3), state_sum=zeros(3)),
    "state_mean": idiom(
        lambda m, x: (m.state_mean.mul_(0.9).add_(x.mean(0), alpha=0.1), x - m.state_mean)[1],
        f(2, 3),
        state_mean=zeros(3),
    ),
    "state_lerp": idiom(lambda m, x: m.state_mean.lerp_(x, 0.1).clone(), f(3), state_mean=zeros(3)),
    "state_max": idiom(
        lambda m, x: written(m.state_max, torch.maximum(m.state_max, x.abs().amax())) + x, f(3), state_max=zeros(1)
    ),
    "state_norm": idiom(running_norm, f(4, 3), state_count=torch.tensor(0), state_mean=zeros(3), state_var=zeros(3)),
    "state_momentum": idiom(momentum, f(3), state_first=zeros(3), state_second=zeros(3)),
    "state_cache": idiom(cache_by_step, f(2, 3), state_cache=zeros(2, 5, 3), state_step=zeros(1, dtype=torch.int64)),
    "state_cache_index_put": idiom(
        lambda m, x, at: (m.state_cache.__setitem__((slice(None), at), x), m.state_cache.sum(1))[1],
        f(2, 1, 3),
        i([0]),
        state_cache=zeros(2, 5, 3),
    ),
    "state_cache_slice": idiom(
        lambda m, x: (m.state_cache[:, 1:3].copy_(x), m.state_cache * 2)[1], f(2, 2, 3), state_cache=zeros(2, 5, 3)
    ),
    "state_cache_scatter": idiom(
        lambda m, x, at: m.state_cache.scatter_(1, at, x).clone(), f(2, 1), i([[0], [2]]), state_cache=zeros(2, 5)
    ),
    "state_ring": idiom(ring, f(2, 3), state_window=zeros(2, 4, 3)),
    "state_ring_roll": idiom(
        lambda m, x: (
            m.state_window.copy_(torch.roll(m.state_window, -1, 1)),
            m.state_window[:, -1].copy_(x),
            m.state_window.mean(1),
        )[2],
        f(2, 3),
        state_window=zeros(2, 4, 3),
    ),
    "state_convolution": idiom(streaming_convolution, f(1, 2, 4), state_past=zeros(1, 2, 2), w=f(3, 2, 3)),
    "state_lstm": idiom(lstm_cell, f(1, 3), wi=f(16, 3), wh=f(16, 4), state_h=zeros(1, 4), state_c=zeros(1, 4)),
    "state_last": idiom(lambda m, x: (x - m.state_last, m.state_last.copy_(x))[0], f(3), state_last=zeros(3)),
    "state_seen": idiom(
        lambda m, x: (m.state_seen.logical_or_(x > 0), m.state_seen.sum())[1],
        f(3),
        state_seen=zeros(3, dtype=torch.bool),
    ),
    "state_histogram": idiom(
        lambda m, x: m.state_bins.index_add_(0, x, torch.ones(3)).clone(), i(0, 2, 0), state_bins=zeros(5)
    ),
    "state_reset": idiom(
        lambda m, x: (m.state_sum.mul_((x.sum() > 0).to(x.dtype)).add_(x), m.state_sum * 1)[1], f(3), state_sum=zeros(3)
    ),
    "state_rate": idiom(
        lambda m, x: (m.state_n.add_(1), x / m.state_n, torch.rsqrt(m.state_n.float()))[1:],
        f(3),
        state_n=torch.tensor(0),
    ),
    "state_centroids": idiom(
        lambda m, x: (
            m.state_c.mul_(0.9).add_(F.one_hot(torch.cdist(x, m.w).argmin(1), 4).to(x.dtype).t() @ x * 0.1),
            m.state_c * 2,
        )[1],
        f(5, 3),
        w=f(4, 3),
        state_c=zeros(4, 3),
    ),
    "state_in_half": idiom(
        lambda m, x: (m.state_sum.add_(x.half()), m.state_sum.float())[1], f(3), state_sum=zeros(3, dtype=torch.float16)
    ),
}


def exported(name: str, dtype: torch.dtype = torch.float32, *, state: bool = False, symbolic: bool = False) -> Any:
    """The program of that name."""
    one = IDIOMS[name]
    given = inputs(one, dtype)
    sizes = None
    if symbolic:
        sizes = (tuple({0: torch.export.Dim.AUTO(max=LARGEST)} if tensor.dim() else None for tensor in given),)
    return torch.export.export(Model(one, dtype, state=state), given, dynamic_shapes=sizes)


def main() -> int:
    """Export, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("consumer", choices=list(CONSUMERS))
    parser.add_argument("--only", action="append", default=[], choices=list(IDIOMS), metavar="NAME", help="one of them")
    parser.add_argument("--dtype", choices=list(DTYPES), default="float32", help="of floating-point numbers")
    parser.add_argument("--state", action="store_true", help="the first result becomes the state of a buffer")
    parser.add_argument("--symbolic", action="store_true", help="the first size of each input is symbolic")
    parser.add_argument("--alarms", action="store_true", help="what is taken though it is not clean, too")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    clean, wrong = 0, 0
    with tempfile.TemporaryDirectory() as folder, measuring(options.consumer, Path(folder)) as running:
        for name in options.only or IDIOMS:
            path = Path(folder) / f"{name}.pt2"
            try:
                program = exported(name, DTYPES[options.dtype], state=options.state, symbolic=options.symbolic)
                torch.export.save(program, path)
            except Exception as error:  # noqa: BLE001 - not every one is there in every dtype, or with symbolic sizes
                if options.only:
                    print(f"{name}: torch does not export it: {error}", flush=True)
                continue
            case = Case(name, path, "model")
            prepared, judgement = running.after(case) if options.alarms else running.clean(case)
            clean += prepared.clean
            taken = judgement is not None and judgement.outcome == TAKEN and not judgement.lost
            if prepared.clean and judgement is not None and not taken:
                wrong += 1
                print(f"{name}: {judgement.describe()}; {judgement.detail}", flush=True)
            elif taken and not prepared.clean:
                print(f"{name}: taken, though {', '.join(prepared.left)} are left", flush=True)
    print(f"{clean} programs are clean for {CONSUMERS[options.consumer].target}, {wrong} of them wrongly")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
