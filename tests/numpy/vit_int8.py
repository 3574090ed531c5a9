"""An integer Vision Transformer in numpy, written from vit-nostd/NUMERICS.md and vit-nostd/FORMAT.md alone.

    python3 vit_int8.py MODEL.int8.vit < IMAGES > LOGITS

reads images one after the other, row by row, a byte for each channel of each pixel, and prints a line of integer logits
for each. Everything is computed with 64-bit integers, all images at once. vectors.py makes the test vectors with it.
"""

import struct
import sys
import zlib
from typing import NamedTuple

import numpy as np


class Reader:
    """Takes one thing after the other from the front of some bytes."""

    def __init__(self, data, position=0):
        self.data, self.position = data, position

    def take(self, count):
        self.position += count
        assert self.position <= len(self.data), "the file ends too early"
        return self.data[self.position - count : self.position]

    def fixed(self, layout):
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def varint(self):
        value, bits = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << bits
            bits += 7
            if byte < 0x80:
                return value

    def bytes(self):
        return self.take(self.varint())

    def tensor(self, dtype, *dims):
        count = int(np.prod(dims))
        values = np.frombuffer(self.take(count * np.dtype(dtype).itemsize), np.dtype(dtype).newbyteorder("<"))
        return values.astype(np.int64).reshape(dims)


class Windows(NamedTuple):
    """The windows of a convolution. `kernel` is the height and the width of one, `stride` the steps down and right."""

    kernel: tuple
    stride: tuple
    padding: int

    def count(self, height, width):
        """The rows and the columns of windows in an input."""
        axes = zip((height, width), self.kernel, self.stride)
        return tuple((side + 2 * self.padding - kernel) // stride + 1 for side, kernel, stride in axes)

    def gather(self, x, zeros):
        """The values of the windows, images x rows x columns x values, of images x height x width x channels.

        `zeros` stands outside of the input, a value for each channel or one for all."""
        N, height, width, channels = x.shape
        rows, columns = self.count(height, width)
        pad = self.padding
        padded = np.zeros((N, height + 2 * pad, width + 2 * pad, channels), np.int64) + zeros
        padded[:, pad : pad + height, pad : pad + width] = x
        # Windows at all places. Their channels come before their rows and columns.
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.kernel, (1, 2))
        windows = windows[:, :: self.stride[0], :: self.stride[1]]
        return windows.transpose(0, 1, 2, 4, 5, 3).reshape(N, rows, columns, -1)


class Model:
    """The model file: attributes are the names of NUMERICS.md."""

    def __init__(self, data):
        magic, version, kind, _, *dims, length = struct.unpack_from("<4sHBB10HI", data)
        assert magic == b"ViT!" and version == 2 and kind == 1, "not an integer model of version 2"
        assert length == len(data) and zlib.crc32(data[:-4]) == struct.unpack("<I", data[-4:])[0], "damaged"
        self.height, self.width, self.channels, ph, pw, self.embed, self.heads = dims[:7]
        self.hidden, self.depth, self.classes = dims[7:]

        file = Reader(data, 32)
        bits, colours, self.fit, count = file.take(4)
        assert bits == 8 and count <= 2, "not of 8 bits, or with more than two convolutions"
        convolutions = [self.convolution(file) for _ in range(2)][:count]
        self.patches, outputs = convolutions[-1] if convolutions else (Windows((ph, pw), (ph, pw), 0), self.embed)
        assert self.patches.kernel == (ph, pw) and outputs == self.embed, "the last convolution does not fit"
        self.stem, self.map_channels = convolutions[0] if count == 2 else (None, 0)
        size = self.stem.count(self.height, self.width) if self.stem else (self.height, self.width)
        self.convolutions = count
        self.tokens = int(np.prod(self.patches.count(*size))) + 1

        assert colours in (0, 1) and self.channels == [1, 3][colours], "colours of another number of channels"
        assert self.fit in (0, 1, 2), "fitted in an unknown way"
        file.fixed("f8x")  # epsilon (which the weights contain), reserved
        self.normalization = file.fixed("6f")  # which the weights contain, too
        self.labels = file.bytes().decode().split("\n")
        file.bytes(), file.varint()  # data set, seed
        if file.take(1) == b"\1":
            file.fixed("f")  # test accuracy
        file.bytes()  # tool
        if file.take(1) == b"\1":
            file.take(32)  # digest of the checkpoint
        file.bytes()  # padding
        length = file.varint()
        assert file.position % 16 == 0 and file.position + length + 4 == len(data), "damaged"
        self.read_weights(file)
        assert file.position + 4 == len(data), "weights of another shape"

    @staticmethod
    def convolution(file):
        kernel, stride, padding, _, outputs, _ = file.fixed("4B2H")
        return Windows((kernel, kernel), (stride, stride), padding), outputs

    def read_weights(self, file):
        self.zeros = file.tensor("i1", self.convolutions, 4)
        if self.stem:
            M, W = self.map_channels, int(np.prod(self.stem.kernel)) * self.channels
            Q = (W + 3) // 4 * 4
            self.stem_bias = file.tensor("i4", M)
            self.stem_scale = file.tensor("u2", M), file.tensor("u1", M)
            self.stem_gelu_table = file.tensor("i1", 256)
            self.stem_weight = file.tensor("i1", M, Q)[:, :W]
        D, P = self.embed, int(np.prod(self.patches.kernel)) * (self.map_channels or self.channels)
        R = (P + 3) // 4 * 4
        self.exp_table = file.tensor("u2", 256)
        self.patch_bias = file.tensor("i4", D)
        self.positions = file.tensor("i2", self.tokens, D)
        self.patch_scale = file.tensor("u2", D), file.tensor("u1", D)
        self.patch_weight = file.tensor("i1", D, R)[:, :P]
        self.blocks = [Block(file, D, self.hidden) for _ in range(self.depth)]
        self.norm = Norm(file)
        file.fixed("f")  # what a logit of 1 stands for
        self.head_bias = file.tensor("i4", self.classes)
        self.head_weight = file.tensor("i1", self.classes, D)

    def logits(self, images, observe=lambda stage, block, values: None):
        """Returns the logits, images x classes, of images x height x width x channels of levels.

        Calls `observe` after each stage with its values, images x tokens x channels."""
        N = len(images)
        image = images.astype(np.int64) - 128
        zeros = self.zeros[0, : self.channels] if self.convolutions else 0
        if self.stem:
            windows = self.stem.gather(image, zeros)
            a = self.stem_bias + windows @ self.stem_weight.T
            image = self.stem_gelu_table[128 + sat8(requantize(a, *self.stem_scale))]
            observe("stem", 0, image.reshape(N, -1, self.map_channels))
            zeros = self.zeros[1, 0]
        patches = self.patches.gather(image, zeros).reshape(N, self.tokens - 1, -1)
        a = self.patch_bias + patches @ self.patch_weight.T
        x = np.zeros((N, self.tokens, self.embed), np.int64) + self.positions
        x[:, 1:] = sat16(requantize(a, *self.patch_scale) + self.positions[1:])
        observe("embedding", 0, x)
        for index, block in enumerate(self.blocks):
            observe_block = lambda stage, values: observe(stage, index, values)
            x = block.attention(x, self.heads, self.exp_table, observe_block)
            x = block.mlp(x, observe_block)
        n = self.norm(x[:, :1])
        observe("norm", self.depth, n)
        logits = self.head_bias + n @ self.head_weight.T
        observe("head", self.depth, logits)
        return logits[:, 0]


class Norm:
    def __init__(self, file):
        epsilon_low, epsilon_high, numerator_low, numerator_high, self.shift = file.fixed("5I")
        self.epsilon = epsilon_high << 32 | epsilon_low
        self.numerator = numerator_high << 32 | numerator_low

    def __call__(self, x):
        D = x.shape[-1]
        total = x.sum(-1, keepdims=True)
        V = D * (x * x).sum(-1, keepdims=True) - total**2 + self.epsilon
        e = np.zeros_like(V)
        for _ in range(26):
            e += V << 2 * (e + 1) < 1 << 52
        r = np.minimum(32767, self.numerator // isqrt(V << 2 * e))
        f = 256 if D <= 128 else 128
        return sat8(requantize(f * (D * x - total), r, self.shift - e))


class Block:
    LAYERS = "query", "key", "value", "proj", "hidden", "mlp"

    def __init__(self, file, D, F):
        outputs = dict.fromkeys(self.LAYERS, D) | {"hidden": F}
        inputs = dict.fromkeys(self.LAYERS, D) | {"mlp": F}
        self.norm1, self.norm2 = Norm(file), Norm(file)
        self.score_scale, self.context_scale = file.fixed("2I"), file.fixed("2I")
        self.bias = {name: file.tensor("i4", outputs[name]) for name in self.LAYERS}
        self.multiplier = {name: file.tensor("u2", outputs[name]) for name in self.LAYERS}
        self.shift = {name: file.tensor("u1", outputs[name]) for name in self.LAYERS}
        self.gelu_table = file.tensor("i1", 256)
        self.weight = {name: file.tensor("i1", outputs[name], inputs[name]) for name in self.LAYERS}

    def linear(self, name, x):
        return requantize(self.bias[name] + x @ self.weight[name].T, self.multiplier[name], self.shift[name])

    def attention(self, x, heads, exp_table, observe):
        n = self.norm1(x)
        observe("norm1", n)
        projected = {name: sat8(self.linear(name, n)) for name in ("key", "value", "query")}
        for name, y in projected.items():
            observe(name, y)
        split = lambda y: y.reshape(*y.shape[:-1], heads, -1).swapaxes(-2, -3)  # heads before tokens
        key, value, query = map(split, projected.values())
        s = query @ key.swapaxes(-1, -2)
        i = np.minimum(255, requantize(s.max(-1, keepdims=True) - s, *self.score_scale))
        w = exp_table[i]
        S = w.sum(-1, keepdims=True)
        e = np.zeros_like(S) - 8
        for _ in range(15):
            e += scaled(S, e + 1) < 1 << 16
        m, s = self.context_scale
        r = m * 2**15 // scaled(S, e)
        o = sat8(requantize(w @ value, r, s + 7 - e)).swapaxes(-2, -3).reshape(x.shape)
        observe("attention", o)
        x = sat16(x + self.linear("proj", o))
        observe("projection", x)
        return x

    def mlp(self, x, observe):
        n = self.norm2(x)
        observe("norm2", n)
        g = self.gelu_table[128 + sat8(self.linear("hidden", n))]
        observe("hidden", g)
        x = sat16(x + self.linear("mlp", g))
        observe("mlp", x)
        return x


def requantize(a, m, s):
    return a * m + (np.int64(1) << (s - 1)) >> s


def scaled(S, e):
    """floor(S * 2^e), also for negative e."""
    return S << np.maximum(e, 0) >> np.maximum(-e, 0)


def sat8(x):
    return np.clip(x, -128, 127)


def sat16(x):
    return np.clip(x, -32768, 32767)


def isqrt(n):
    root = np.sqrt(n).astype(np.int64)
    root -= root * root > n
    return root + ((root + 1) ** 2 <= n)


def main():
    with open(sys.argv[1], "rb") as file:
        model = Model(file.read())
    shape = -1, model.height, model.width, model.channels
    images = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(shape)
    for logits in model.logits(images):
        print(*logits)


if __name__ == "__main__":
    main()
