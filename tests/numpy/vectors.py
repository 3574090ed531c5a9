"""Makes the test vectors in vit-nostd/vectors with the independent implementation in vit_int8.py.

    python3 vectors.py            writes them
    python3 vectors.py --check    exits with 1 if the files differ from what would be written, or if a slip goes unnoticed

The vectors are made without a line of the engine: the numbers by vit_int8.py, the files of the small models by the code
below, which follows vit-nostd/FORMAT.md. SLIPS, COLOUR_SLIPS and CONV_SLIPS are mistakes that an implementation could
have; with each of them, one of the small models must have other logits.
"""

import struct
import sys
import types
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.dont_write_bytecode = True
import vit_int8

HERE = Path(__file__).parent
VECTORS = HERE / "../../vit-nostd/vectors"
NANO = HERE / "../../firmware-example/models/nano.int8.vit"

# ---- The small models ----


class Convolution(NamedTuple):
    """The numbers of a convolution in the preamble, without the reserved ones."""

    kernel: int
    stride: int
    padding: int
    channels: int

    def count(self, side):
        """The number of windows along a side of the input."""
        return (side + 2 * self.padding - self.kernel) // self.stride + 1


class Shape(NamedTuple):
    """The numbers of the preamble, in its order."""

    height: int
    width: int
    channels: int
    ph: int
    pw: int
    D: int
    H: int
    F: int
    depth: int
    classes: int
    convolutions: tuple = ()

    @property
    def stem(self):
        return self.convolutions[0] if len(self.convolutions) == 2 else None

    @property
    def P(self):
        return self.ph * self.pw * (self.stem.channels if self.stem else self.channels)

    @property
    def T(self):
        rows, columns = self.height, self.width
        for convolution in self.convolutions:
            rows, columns = convolution.count(rows), convolution.count(columns)
        if not self.convolutions:
            rows, columns = rows // self.ph, columns // self.pw
        return rows * columns + 1


SATURATING = Shape(6, 6, 1, 3, 3, 8, 2, 12, 2, 3)
COLOUR = Shape(4, 9, 3, 2, 3, 132, 3, 16, 1, 4)
CONV = Shape(9, 8, 3, 3, 3, 8, 2, 12, 1, 3, (Convolution(3, 2, 1, 4), Convolution(3, 2, 1, 8)))
MAX_BIAS = 2**30 - 1
# Found by trying: with these seeds, every slip shows.
SEED, COLOUR_SEED, CONV_SEED = 596, 1, 125


class Random:
    """The upper bits of a linear congruential generator of 64 bits: the same numbers with every version of Python."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n

    def within(self, limit):
        """From -limit to limit; one time in four one of the ends."""
        choice = self.below(8)
        return limit if choice == 0 else -limit if choice == 1 else self.below(2 * limit + 1) - limit


def tensor(layout, values):
    return struct.pack(f"<{len(values)}{layout}", *values)


def norm(epsilon, numerator, shift):
    return struct.pack("<5I", epsilon % 2**32, epsilon >> 32, numerator % 2**32, numerator >> 32, shift)


class Layer:
    """A linear layer of random numbers whose results fill the range of their type and sometimes leave it."""

    def __init__(self, random, outputs, inputs, fill, wide, more):
        self.weight, biases, multipliers, shifts = b"", [], [], []
        for _ in range(outputs):
            kind = random.below(8)
            if kind == 0:  # a bias at its bound
                weight, bias, multiplier, shift = 128, MAX_BIAS, 16384 + random.below(16384), 28 if wide else 36
            elif kind < 5 and not wide:  # small weights, and an eighth of their sums: halves are frequent
                weight, bias, multiplier, shift = 4, 300, 16384, 17
            else:
                weight, bias, multiplier, shift = 128, 30000, 16384 + random.below(16384), 17 if wide else 22
            self.weight += tensor("b", [max(-128, random.within(weight) - 1) for _ in range(inputs)])
            # What fills a row up must not count.
            self.weight += tensor("b", [random.within(127) for _ in range(fill)])
            biases.append(random.within(bias))
            multipliers.append(multiplier)
            shifts.append(shift + random.below(2) + more)
        self.bias, self.multiplier = tensor("i", biases), tensor("H", multipliers)
        self.shift = tensor("B", shifts)


def saturating_model():
    """A model whose numbers reach both ends of every clamp."""
    # The class token makes the first LayerNorm's V 2^20, so that floor(numerator / root) is 32768; with that instead of
    # 32767, each of its results would be a half, 50.5 or -50.5.
    class_token = [101, -101, 101, 101, -101, 101, -101, -101]
    first, second = (2**20 - 64 * 101**2, 2**40, 42), (2**32 + 12345, 2**39 + 54321, 41)
    mlp, last = (1024, 2**40 - 99999, 41), (2**30, 2**40, 42)
    # The differences of scores reach the end of the table in the second block only. A small multiplier of the context,
    # as in the first block, shows how its quotient by the sum is rounded.
    scales = [(16384, 21, 1013, 17), (16384, 18, 32767, 22)]
    head_bias = [MAX_BIAS, -MAX_BIAS, 5]
    norms = [(first, mlp), (second, mlp), last]
    weights = small_weights(SATURATING, SEED, class_token, norms, scales, head_bias)
    normalization = 0.25, 0.5, 0, 1, 0, 1
    return model_file(SATURATING, 0, 0, normalization, b"low\nmiddle\nhigh", weights)


def colour_model():
    """A model whose images have three channels, whose images and patches are not square, and whose rows are wide."""
    epsilon = 2**32 + 12345
    norms = [((epsilon, 2**39 + 54321, 41), (epsilon, 2**40 - 99999, 42)), (epsilon, 2**40, 42)]
    # Sums of more products than in the other model need a larger shift.
    scales, more = [(16384, 23, 32767, 22)], 2
    weights = small_weights(COLOUR, COLOUR_SEED, [], norms, scales, [1000, -1000, 5, 0], more)
    normalization = 0.25, 0.5, 0.5, 0.25, 0.375, 0.125
    return model_file(COLOUR, 1, 1, normalization, b"red\ngreen\nblue\nnothing", weights)


def conv_model():
    """A model with two convolutions. Those entries of `zeros` that do not count are not 0."""
    epsilon = 2**32 + 12345
    norms = [((epsilon, 2**39 + 54321, 41), (epsilon, 2**40 - 99999, 42)), (epsilon, 2**40, 42)]
    weights = small_weights(CONV, CONV_SEED, [], norms, [(16384, 21, 32767, 22)], [1000, -1000, 5])
    normalization = 0.25, 0.5, 0.5, 0.25, 0.375, 0.125
    return model_file(CONV, 1, 2, normalization, b"left\nright\nneither", weights)


def convolution_weights(shape, random):
    """The tensors of the convolutions."""
    zeros = [random.within(127) for _ in range(4 * len(shape.convolutions))]
    weights = tensor("b", zeros)
    if shape.stem:
        W = shape.stem.kernel**2 * shape.channels
        layer = Layer(random, shape.stem.channels, W, -W % 4, False, 2)
        # The ends of the table are in no other place, so that they show that both ends of sat8 were reached.
        table = [-128, *(random.within(126) for _ in range(254)), 127]
        weights += layer.bias + layer.multiplier + layer.shift + tensor("b", table) + layer.weight
    return weights


def small_weights(shape, seed, class_token, norms, scales, head_bias, more=0):
    """The tensors, as FORMAT.md has them. `more` is added to the shifts of the linear layers."""
    random = Random(seed)
    P, T, D, F = shape.P, shape.T, shape.D, shape.F
    weights = convolution_weights(shape, random)
    # The table falls at first, as that of a trained model, but its last entries differ.
    table = [32767]
    while len(table) < 254:
        table.append(table[-1] * 4 // 5)
    weights += tensor("H", table + [3000, 9000])
    patch = Layer(random, D, P, -P % 4, True, 0)
    positions = [random.within(32767) for _ in range(T * D)]
    positions[: len(class_token)] = class_token
    weights += patch.bias + tensor("h", positions) + patch.multiplier + patch.shift + patch.weight
    for block in range(shape.depth):
        norm1, norm2 = norms[block]
        weights += norm(*norm1) + norm(*norm2) + struct.pack("<4I", *scales[block])
        shapes = [(D, D, False)] * 3 + [(D, D, True), (F, D, False), (D, F, True)]
        layers = [Layer(random, outputs, inputs, 0, wide, more) for outputs, inputs, wide in shapes]
        weights += b"".join(layer.bias for layer in layers)
        weights += b"".join(layer.multiplier for layer in layers)
        weights += b"".join(layer.shift for layer in layers)
        weights += tensor("b", [random.within(127) for _ in range(256)])
        weights += b"".join(layer.weight for layer in layers)
    weights += norm(*norms[-1]) + struct.pack("<f", 0.25)
    weights += tensor("i", head_bias) + tensor("b", [random.within(127) for _ in range(shape.classes * D)])
    return weights


def model_file(shape, colours, fit, normalization, labels, weights):
    """The model file, as FORMAT.md has it."""

    def string(text):
        return varint(len(text)) + text

    front = struct.pack("<6f", *normalization)
    front += string(labels)
    # Data set, seed, no accuracy, tool, no digest.
    front += string(b"none") + varint(300) + b"\0" + string(b"vectors.py") + b"\0"
    length = varint(len(weights))
    padding = -(64 + len(front) + 1 + len(length)) % 16
    body = front + string(bytes(padding)) + length + weights
    *numbers, convolutions = shape
    head = struct.pack("<4sHBB10HI", b"ViT!", 2, 1, 0, *numbers, 64 + len(body) + 4)
    head += struct.pack("<4B", 8, colours, fit, len(convolutions))
    for kernel, stride, padding, channels in [*convolutions, (0, 0, 0, 0), (0, 0, 0, 0)][:2]:
        head += struct.pack("<4B2H", kernel, stride, padding, 0, channels, 0)
    head += struct.pack("<f8x", 1e-6)
    return head + body + struct.pack("<I", zlib.crc32(head + body))


def varint(value):
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(encoded) + bytes([value])


def saturating_images():
    """A white image, and three patterns."""
    pattern = lambda image, row, column: 255 if image == 0 else (71 * image * row + 40 * column + row * row) % 256
    shape = 4, SATURATING.height, SATURATING.width
    return np.fromfunction(np.vectorize(pattern, otypes=[np.int64]), shape, dtype=np.int64)[..., None]


def colour_images():
    """Two patterns, which differ in each channel."""
    pattern = lambda image, row, column, channel: (71 * row + 40 * column + (90 + image) * channel + row * column) % 256
    shape = 2, COLOUR.height, COLOUR.width, COLOUR.channels
    return np.fromfunction(pattern, shape, dtype=np.int64)


def conv_images():
    """Two patterns, which differ in each channel."""
    levels = lambda image, row, column, channel: (
        53 * row + (97 + 20 * image) * column + (80 + image) * channel + row * column
    )
    pattern = lambda *place: levels(*place) % 256
    shape = 2, CONV.height, CONV.width, CONV.channels
    return np.fromfunction(pattern, shape, dtype=np.int64)


def ring():
    """An image of 28 x 28 pixels in which a trained network sees a 0: bright where `distance` is close to 350."""
    image = np.zeros((28, 28), np.int64)
    for row in range(28):
        for column in range(28):
            distance = (2 * row - 27) ** 2 + 2 * (2 * column - 27) ** 2
            image[row, column] = max(0, 255 - abs(distance - 350))
    return image[..., None]


# ---- The text ----


def text(title, model, images):
    """A line for the levels of each image and for each stage, block and token, in the order of NUMERICS.md."""
    numbers = lambda values: " ".join(map(str, values.reshape(-1)))
    images_lines = [[f"image: {numbers(image)}\n"] for image in images]

    def observe(stage, block, values):
        # In the last block, the other tokens have no query, and nothing that comes after it.
        alone = block == model.depth - 1 and stage not in ("stem", "embedding", "norm1", "key", "value")
        for lines, tokens in zip(images_lines, values):
            for token, channels in enumerate(tokens[:1] if alone else tokens):
                lines.append(f"{stage} {block} {token}: {numbers(channels)}\n")

    model.logits(images, observe)
    return f"# {title}\n# Written by tests/numpy/vectors.py; NUMERICS.md describes the lines.\n" + "".join(
        line for lines in images_lines for line in lines
    )


# ---- Mistakes ----

ORDER = "transpose(0, 1, 2, 4, 5, 3)"
PATCHES = "self.patches.gather(image, zeros)"
LEVELS = "images.astype(np.int64) - 128"

# What it is, and the change of vit_int8.py that makes it. The saturating model shows these:
SLIPS = [
    ("no sat16 in the embedding", "sat16(requantize(a, *self.patch_scale)", "(requantize(a, *self.patch_scale)"),
    ("no sat16 after the attention", 'sat16(x + self.linear("proj", o))', 'x + self.linear("proj", o)'),
    ("no sat16 after the MLP", 'sat16(x + self.linear("mlp", g))', 'x + self.linear("mlp", g)'),
    (
        "sat16 before the positions are added",
        "sat16(requantize(a, *self.patch_scale)",
        "sat16(sat16(requantize(a, *self.patch_scale))",
    ),
    ("sat16 before the output projection is added", 'self.linear("proj", o))', 'sat16(self.linear("proj", o)))'),
    ("sat16 before the MLP is added", 'sat16(x + self.linear("mlp", g))', 'sat16(x + sat16(self.linear("mlp", g)))'),
    ("sat16 from -32767", "-32768, 32767", "-32767, 32767"),
    ("sat8 from -127", "-128, 127", "-127, 127"),
    ("no sat8 of queries, keys and values", "{name: sat8(self.linear(name, n))", "{name: (self.linear(name, n))"),
    ("no sat8 of the weighted sums", "o = sat8(requantize(w @ value", "o = (requantize(w @ value"),
    ("no sat8 in LayerNorm", "return sat8(requantize(f", "return (requantize(f"),
    ("min(255, i) as 254", "i = np.minimum(255,", "i = np.minimum(254,"),
    ("the sum of exponentials in 15 bits", "scaled(S, e + 1) < 1 << 16", "scaled(S, e + 1) < 1 << 15"),
    ("r rounded to nearest", "r = m * 2**15 // scaled(S, e)", "r = (m * 2**16 // scaled(S, e) + 1) // 2"),
    ("no division by the sum", "r = m * 2**15 // scaled(S, e)", "r = m"),
    ("no min(32767, r) in LayerNorm", "r = np.minimum(32767, self.n", "r = np.minimum(32768, self.n"),
    ("V * 4^e up to 2^52 itself", "< 1 << 52", "<= 1 << 52"),
    ("LayerNorm without epsilon", "- total**2 + self.epsilon", "- total**2 + 1024"),
    ("halves down", "a * m + (np.int64(1) << (s - 1)) >> s", "a * m + (np.int64(1) << (s - 1)) - 1 >> s"),
    (
        "halves away from zero",
        "a * m + (np.int64(1) << (s - 1)) >> s",
        "np.sign(a * m) * (abs(a * m) + (np.int64(1) << (s - 1)) >> s)",
    ),
    (
        "halves to even",
        "return a * m + (np.int64(1) << (s - 1)) >> s",
        "b, half = a * m, np.int64(1) << (s - 1); return b + half - 1 + (b >> s & 1) >> s",
    ),
    ("no rounding", "a * m + (np.int64(1) << (s - 1)) >> s", "a * m >> s"),
    ("pixels minus 127", LEVELS, "images.astype(np.int64) - 127"),
    ("GELU's neighbouring entry", "self.gelu_table[128 + ", "self.gelu_table[127 + "),
    ("patches column by column", ORDER, "transpose(0, 2, 1, 4, 5, 3)"),
    ("pixels of a patch column by column", ORDER, "transpose(0, 1, 2, 5, 4, 3)"),
    ("keys from the wrong norm", "n = self.norm1(x)", "n = self.norm2(x)"),
    ("epsilon without its high half", "epsilon_high << 32 | epsilon_low", "epsilon_low"),
    ("numerator without its high half", "numerator_high << 32 | numerator_low", "numerator_low | 1 << 39"),
    ("one head", "reshape(*y.shape[:-1], heads, -1)", "reshape(*y.shape[:-1], 1, -1)"),
    ("LayerNorm's factor of wide rows", "256 if D <= 128", "256 if D < 0"),
]

# The colour model shows these:
COLOUR_SLIPS = [
    ("LayerNorm's factor of narrow rows", "256 if D <= 128", "256 if D > 0"),
    ("blue first", LEVELS, LEVELS.replace("images", "images[..., ::-1]")),
    ("red in all channels", LEVELS, LEVELS + "; image[..., 1:] = image[..., :1]"),
    ("all red levels of a patch first", ORDER, "transpose(0, 1, 2, 3, 4, 5)"),
    ("patches column by column", ORDER, "transpose(0, 2, 1, 4, 5, 3)"),
    ("pixels of a patch column by column", ORDER, "transpose(0, 1, 2, 5, 4, 3)"),
    (
        "height and width exchanged",
        PATCHES,
        "Windows((self.patches.kernel[::-1]), (self.patches.stride[::-1]), 0).gather("
        "image.reshape(N, self.width, self.height, -1), zeros)",
    ),
    ("what fills up the rows counts", 'file.tensor("i1", D, R)[:, :P]', 'file.tensor("i1", D, R)[:, R - P:]'),
]

# The model with convolutions shows these:
CONV_SLIPS = [
    ("black around the image", "zeros = self.zeros[0, : self.channels]", "zeros = -128"),
    ("0 around the image", "zeros = self.zeros[0, : self.channels]", "zeros = 0"),
    ("the value of red around all channels", "zeros = self.zeros[0, : self.channels]", "zeros = self.zeros[0, 0]"),
    ("the value of blue around red", "zeros = self.zeros[0, : self.channels]", "zeros = self.zeros[0, 2::-1]"),
    ("0 around the map", "zeros = self.zeros[1, 0]", "zeros = 0"),
    ("the values of the image around the map", "zeros = self.zeros[1, 0]", "zeros = self.zeros[0, 0]"),
    ("a value for each channel around the map", "zeros = self.zeros[1, 0]", "zeros = self.zeros[1]"),
    (
        "all of the padding above and at the left",
        "padded[:, pad : pad + height, pad : pad + width]",
        "padded[:, 2 * pad :, 2 * pad :]",
    ),
    (
        "all of the padding below and at the right",
        "padded[:, pad : pad + height, pad : pad + width]",
        "padded[:, :height, :width]",
    ),
    ("no GELU in the stem", "self.stem_gelu_table[", "(np.arange(256) - 128)["),
    ("the GELU of the first block in the stem", "self.stem_gelu_table[", "self.blocks[0].gelu_table["),
    ("the neighbouring entry of the stem's GELU", "stem_gelu_table[128 + ", "stem_gelu_table[127 + "),
    ("sat8 from -127", "-128, 127", "-127, 127"),
    ("sat8 up to 126", "-128, 127", "-128, 126"),
    ("windows column by column", ORDER, "transpose(0, 2, 1, 4, 5, 3)"),
    ("pixels of a window column by column", ORDER, "transpose(0, 1, 2, 5, 4, 3)"),
    ("channels of a window one after the other", ORDER, "transpose(0, 1, 2, 3, 4, 5)"),
    ("blue first", LEVELS, LEVELS.replace("images", "images[..., ::-1]")),
    (
        "what fills up the rows of the stem counts",
        'file.tensor("i1", M, Q)[:, :W]',
        'file.tensor("i1", M, Q)[:, Q - W :]',
    ),
]


def unnoticed(file, images, slips):
    """The slips with which the model in `file` has the logits that it should have."""
    source = Path(vit_int8.__file__).read_text()
    logits = vit_int8.Model(file).logits(images)
    found = []
    for name, old, new in slips:
        assert source.count(old) == 1, f"{name}: {old!r} is not in vit_int8.py once"
        wrong = types.ModuleType("wrong")
        exec(source.replace(old, new), wrong.__dict__)
        if (wrong.Model(file).logits(images) == logits).all():
            found.append(name)
    return found


def main():
    saturating, colour, conv, nano = saturating_model(), colour_model(), conv_model(), NANO.read_bytes()
    files, bad = {"saturating.int8.vit": saturating, "colour.int8.vit": colour, "conv.int8.vit": conv}, []
    for name, title, model, images, slips in [
        ("saturating.txt", "saturating.int8.vit on four images", saturating, saturating_images(), SLIPS),
        ("colour.txt", "colour.int8.vit on two images", colour, colour_images(), COLOUR_SLIPS),
        ("conv.txt", "conv.int8.vit on two images", conv, conv_images(), CONV_SLIPS),
        ("nano.txt", "firmware-example/models/nano.int8.vit on one image", nano, ring()[None], []),
    ]:
        files[name] = text(title, vit_int8.Model(model), images).encode()
        bad += [f"{slip}: not noticed by {name}" for slip in unnoticed(model, images, slips)]
    for name, content in files.items():
        if sys.argv[1:] != ["--check"]:
            (VECTORS / name).write_bytes(content)
        elif (VECTORS / name).read_bytes() != content:
            bad.append(f"{name}: differs from what vectors.py writes")
    print(*bad, sep="\n", end="\n" if bad else "")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
