"""Makes the test vectors in vit-nostd/vectors with the independent implementation in vit_int8.py.

    python3 vectors.py            writes them
    python3 vectors.py --check    exits with 1 if the files differ from what would be written, or if a slip goes unnoticed

The vectors are made without a line of the engine: the numbers by vit_int8.py, the file of the small model by the code
below, which follows vit-nostd/FORMAT.md. Each entry of SLIPS is a mistake that an implementation could have; the small
model must have other logits with each of them.
"""

import struct
import sys
import types
import zlib
from pathlib import Path

import numpy as np

sys.dont_write_bytecode = True
import vit_int8

HERE = Path(__file__).parent
VECTORS = HERE / "../../vit-nostd/vectors"
NANO = HERE / "../../firmware-example/models/nano.int8.vit"

# ---- The small model ----

# Image, patch, channels of a token, heads, hidden channels, blocks, classes.
IMAGE, PATCH, D, H, F, DEPTH, CLASSES = 6, 3, 8, 2, 12, 2, 3
TOKENS = (IMAGE // PATCH) ** 2 + 1
ROW = (PATCH * PATCH + 3) // 4 * 4
MAX_BIAS = 2**30 - 1
SEED = 596  # found by trying: the first with which every one of SLIPS shows


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

    def __init__(self, random, outputs, inputs, fill, wide):
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
            shifts.append(shift + random.below(2))
        self.bias, self.multiplier = tensor("i", biases), tensor("H", multipliers)
        self.shift = tensor("B", shifts)


def small_model(seed):
    """The model file, as FORMAT.md has it."""
    random = Random(seed)
    # The table falls at first, as that of a trained model, but its last entries differ.
    table = [32767]
    while len(table) < 254:
        table.append(table[-1] * 4 // 5)
    weights = tensor("H", table + [3000, 9000])
    patch = Layer(random, D, PATCH * PATCH, ROW - PATCH * PATCH, True)
    positions = [random.within(32767) for _ in range(TOKENS * D)]
    # The class token makes the first LayerNorm's V 2^20, so that floor(numerator / root) is 32768; with that instead of
    # 32767, each of its results would be a half, 50.5 or -50.5.
    positions[:D] = [101, -101, 101, 101, -101, 101, -101, -101]
    weights += patch.bias + tensor("h", positions) + patch.multiplier + patch.shift + patch.weight
    for block in range(DEPTH):
        first = norm(2**20 - 64 * 101**2, 2**40, 42) if block == 0 else norm(2**32 + 12345, 2**39 + 54321, 41)
        weights += first + norm(1024, 2**40 - 99999, 41)
        # The differences of scores reach the end of the table in the second block only. A small multiplier of the
        # context, as in the first block, shows how its quotient by the sum is rounded.
        weights += struct.pack("<4I", 16384, 21 - 3 * block, *[(1013, 17), (32767, 22)][block])
        shapes = [(D, D, False)] * 3 + [(D, D, True), (F, D, False), (D, F, True)]
        layers = [Layer(random, outputs, inputs, 0, wide) for outputs, inputs, wide in shapes]
        weights += b"".join(layer.bias for layer in layers)
        weights += b"".join(layer.multiplier for layer in layers)
        weights += b"".join(layer.shift for layer in layers)
        weights += tensor("b", [random.within(127) for _ in range(256)])
        weights += b"".join(layer.weight for layer in layers)
    weights += norm(2**30, 2**40, 42) + struct.pack("<f", 0.25)
    weights += tensor("i", [MAX_BIAS, -MAX_BIAS, 5]) + tensor("b", [random.within(127) for _ in range(CLASSES * D)])
    return model_file(weights)


def model_file(weights):
    def string(text):
        return varint(len(text)) + text

    front = struct.pack("<6f", 0.25, 0.5, 0, 1, 0, 1)
    front += string(b"low\nmiddle\nhigh")
    # Data set, seed, no accuracy, tool, no digest.
    front += string(b"none") + varint(300) + b"\0" + string(b"vectors.py") + b"\0"
    length = varint(len(weights))
    padding = -(64 + len(front) + 1 + len(length)) % 16
    body = front + string(bytes(padding)) + length + weights
    dims = IMAGE, IMAGE, 1, PATCH, PATCH, D, H, F, DEPTH, CLASSES
    head = struct.pack("<4sHBB10HI", b"ViT!", 2, 1, 0, *dims, 64 + len(body) + 4)
    head += struct.pack("<4B16xf8x", 8, 0, 0, 0, 1e-6)
    return head + body + struct.pack("<I", zlib.crc32(head + body))


def varint(value):
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(encoded) + bytes([value])


def small_images():
    """A white image, and three patterns."""
    pattern = lambda image, row, column: 255 if image == 0 else (71 * image * row + 40 * column + row * row) % 256
    return np.fromfunction(np.vectorize(pattern, otypes=[np.int64]), (4, IMAGE, IMAGE), dtype=np.int64)


def ring():
    """An image of 28 x 28 pixels in which a trained network sees a 0: bright where `distance` is close to 350."""
    image = np.zeros((28, 28), np.int64)
    for row in range(28):
        for column in range(28):
            distance = (2 * row - 27) ** 2 + 2 * (2 * column - 27) ** 2
            image[row, column] = max(0, 255 - abs(distance - 350))
    return image


# ---- The text ----


def text(title, model, images):
    """A line for the pixels of each image and for each stage, block and token, in the order of NUMERICS.md."""
    numbers = lambda values: " ".join(map(str, values.reshape(-1)))
    images_lines = [[f"image: {numbers(image)}\n"] for image in images]

    def observe(stage, block, values):
        # In the last block, the other tokens have no query, and nothing that comes after it.
        alone = block == model.depth - 1 and stage not in ("embedding", "norm1", "key", "value")
        for lines, tokens in zip(images_lines, values):
            for token, channels in enumerate(tokens[:1] if alone else tokens):
                lines.append(f"{stage} {block} {token}: {numbers(channels)}\n")

    model.logits(images, observe)
    return f"# {title}\n# Written by tests/numpy/vectors.py; NUMERICS.md describes the lines.\n" + "".join(
        line for lines in images_lines for line in lines
    )


# ---- Mistakes ----

# What it is, and the change of vit_int8.py that makes it.
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
    ("no sat8 in LayerNorm", "return sat8(requantize(256", "return (requantize(256"),
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
    ("pixels minus 127", "reshape(N, grid, P, grid, P) - 128", "reshape(N, grid, P, grid, P) - 127"),
    ("GELU's neighbouring entry", "gelu_table[128 + ", "gelu_table[127 + "),
    ("patches column by column", "transpose(0, 1, 3, 2, 4)", "transpose(0, 3, 1, 2, 4)"),
    ("pixels of a patch column by column", "transpose(0, 1, 3, 2, 4)", "transpose(0, 1, 3, 4, 2)"),
    ("keys from the wrong norm", "n = self.norm1(x)", "n = self.norm2(x)"),
    ("epsilon without its high half", "epsilon_high << 32 | epsilon_low", "epsilon_low"),
    ("numerator without its high half", "numerator_high << 32 | numerator_low", "numerator_low | 1 << 39"),
    ("one head", "reshape(*y.shape[:-1], heads, -1)", "reshape(*y.shape[:-1], 1, -1)"),
]


def unnoticed(file, images):
    """The slips with which the model in `file` has the logits that it should have."""
    source = Path(vit_int8.__file__).read_text()
    logits = vit_int8.Model(file).logits(images)
    found = []
    for name, old, new in SLIPS:
        assert source.count(old) == 1, f"{name}: {old!r} is not in vit_int8.py once"
        wrong = types.ModuleType("wrong")
        exec(source.replace(old, new), wrong.__dict__)
        if (wrong.Model(file).logits(images) == logits).all():
            found.append(name)
    return found


def main():
    small, images = small_model(SEED), small_images()
    nano = vit_int8.Model(NANO.read_bytes())
    files = {
        "saturating.int8.vit": small,
        "saturating.txt": text("saturating.int8.vit on four images", vit_int8.Model(small), images).encode(),
        "nano.txt": text("firmware-example/models/nano.int8.vit on one image", nano, ring()[None]).encode(),
    }
    bad = [f"{name}: not noticed by saturating.int8.vit" for name in unnoticed(small, images)]
    for name, content in files.items():
        if sys.argv[1:] != ["--check"]:
            (VECTORS / name).write_bytes(content)
        elif (VECTORS / name).read_bytes() != content:
            bad.append(f"{name}: differs from what vectors.py writes")
    print(*bad, sep="\n", end="\n" if bad else "")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
