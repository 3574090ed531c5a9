"""The network in PyTorch: the names and layouts that `vit-train` reads and writes are those of its `state_dict`."""

import torch
from torch import nn

# channels, height and width of the image, tokenizer, width, blocks, heads, width of the MLP's hidden layer, classes: the
# presets of `vit-train`, and the network of `tests/outside/own-network`. A tokenizer is the height and the width of a
# patch, or a list of convolutions, which are kernel, stride, padding and output channels. The last one has none of these
# channels, because it has as many as a token.
PRESETS = {
    "base": ((1, 28, 28), (7, 7), 96, 16, 4, 384, 10),
    "tiny": ((1, 28, 28), (4, 4), 64, 6, 4, 128, 10),
    "nano": ((1, 28, 28), (7, 7), 48, 4, 4, 96, 10),
    "conv-nano": ((1, 28, 28), [(3, 2, 1, 12), (5, 4, 2)], 48, 4, 4, 96, 10),
    "conv-tiny": ((1, 28, 28), [(3, 2, 1, 24), (3, 2, 1)], 64, 6, 4, 128, 10),
    "signs": ((3, 32, 32), (4, 4), 64, 6, 2, 128, 16),
}


class PatchEmbed(nn.Module):
    def __init__(self, channels, patch, dim):
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, patch, stride=patch)

    def forward(self, x):  # (batch, channels, height, width)
        return self.proj(x).flatten(2).transpose(1, 2)  # (batch, patches, dim)


class Tokenizer(nn.Sequential):
    """One convolution, or two with GELU between them."""

    def __init__(self, channels, convolutions, dim):
        super().__init__()
        for number, (kernel, stride, padding, *outputs) in enumerate(convolutions, 1):
            if number == 2:
                self.add_module("gelu", nn.GELU())
            (outputs,) = outputs or [dim]
            self.add_module(f"conv{number}", nn.Conv2d(channels, outputs, kernel, stride, padding))
            channels = outputs

    def forward(self, x):  # (batch, channels, height, width)
        return super().forward(x).flatten(2).transpose(1, 2)  # (batch, patches, dim)


class Block(nn.Module):
    def __init__(self, dim, heads, hidden, dropout):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim), nn.Dropout(dropout)
        )

    def forward(self, x):  # (batch, tokens, dim)
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, preset, dropout=0.1):
        super().__init__()
        image, tokenizer, dim, depth, heads, hidden, classes = PRESETS[preset]
        if isinstance(tokenizer, list):
            self.tokenizer = Tokenizer(image[0], tokenizer, dim)
        else:
            self.patch_embed = PatchEmbed(image[0], tokenizer, dim)
        with torch.no_grad():
            patches = self.embed(torch.zeros(1, *image)).shape[1]
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 1, dim))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(dim, heads, hidden, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def embed(self, x):  # (batch, channels, height, width), normalised
        return self.tokenizer(x) if hasattr(self, "tokenizer") else self.patch_embed(x)  # (batch, patches, dim)

    def forward(self, x):  # (batch, channels, height, width), normalised
        x = self.embed(x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])  # (batch, classes)
