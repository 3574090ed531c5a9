"""The network in PyTorch: the names and layouts that `vit-train` reads and writes are those of its `state_dict`."""

import torch
from torch import nn

# channels, height and width of the image, height and width of a patch, width, blocks, heads, width of the MLP's hidden
# layer, classes: the presets of `vit-train`, and the network of `tests/outside/own-network`
PRESETS = {
    "base": ((1, 28, 28), (7, 7), 96, 16, 4, 384, 10),
    "tiny": ((1, 28, 28), (4, 4), 64, 6, 4, 128, 10),
    "nano": ((1, 28, 28), (7, 7), 48, 4, 4, 96, 10),
    "signs": ((3, 32, 32), (4, 4), 64, 6, 2, 128, 16),
}


class PatchEmbed(nn.Module):
    def __init__(self, channels, patch, dim):
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, patch, stride=patch)

    def forward(self, x):  # (batch, channels, height, width)
        return self.proj(x).flatten(2).transpose(1, 2)  # (batch, patches, dim)


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
        (channels, height, width), patch, dim, depth, heads, hidden, classes = PRESETS[preset]
        patches = height // patch[0] * (width // patch[1])
        self.patch_embed = PatchEmbed(channels, patch, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 1, dim))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(dim, heads, hidden, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, x):  # (batch, channels, height, width), normalised
        x = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])  # (batch, classes)
