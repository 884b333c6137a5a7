"""The Transformer layer that the modality classifier, the transfer and the discriminator are made of."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn


class Attention(nn.Module):
    """Self-attention over tokens (N, T, width); dropout on the attention only while training."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.projection = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = rearrange(self.qkv(tokens), "n t (three h d) -> three n h t d", three=3, h=self.heads)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return self.projection(rearrange(mixed, "n h t d -> n t (h d)"))


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): one norm serves both, as in the released code.

    `unused_norm` is in the released checkpoints and does nothing; it is kept so that they load and save whole.
    """

    def __init__(self, width: int, heads: int = 4, dropout: float = 0.0, with_unused_norm: bool = False):
        super().__init__()
        if with_unused_norm:
            self.unused_norm = nn.LayerNorm(width)
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attention(self.norm(tokens))
        return tokens + self.mlp(self.norm(tokens))


class TransformerLayers(nn.Sequential):
    """Two blocks in a row."""

    def __init__(self, width: int, dropout: float = 0.0, with_unused_norm: bool = False):
        super().__init__(*(TransformerBlock(width, 4, dropout, with_unused_norm) for _ in range(2)))
