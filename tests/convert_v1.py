"""Converts a model file of format version 1 to version 2, weight for weight the same bytes.

    python3 convert_v1.py OLD.vit NEW.vit [--made-from FLOAT.vit]

Version 1 did not say which checkpoint a model was made from. A float model contains all parameters of its checkpoint,
so that its digest is computed from them; with --made-from, so is that of the integer model of the same run. Otherwise
it is unknown. The digest is the one that `vit-train/src/digest.rs` defines, the formats are those of
`vit-nostd/FORMAT.md`.
"""

import hashlib
import struct
import sys
import zlib
from array import array

EPSILON = 1e-6


class Version1:
    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        magic, version, self.kind, _, *self.dims, _, length = struct.unpack_from("<4sHBB9HHI", data)
        assert magic == b"ViT!" and version == 1, f"{path}: not a model file of version 1"
        assert length == len(data) and zlib.crc32(data[:-4]) == struct.unpack("<I", data[-4:])[0], f"{path}: damaged"
        self.mean, self.std = struct.unpack_from("<ff", data, 32)

        self.data, self.position = data, 40
        self.skip(self.varint())  # labels
        self.skip(self.varint())  # data set
        self.varint()  # seed
        self.skip(4 * self.take(1)[0])  # test accuracy
        self.skip(self.varint())  # tool
        self.description = data[40 : self.position]
        self.skip(self.varint())  # padding
        self.weights = self.take(self.varint())
        assert self.position + 4 == len(data), f"{path}: damaged"

    def take(self, count):
        self.position += count
        return self.data[self.position - count : self.position]

    skip = take

    def varint(self):
        value, bits = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << bits
            bits += 7
            if byte < 0x80:
                return value


def varint(value):
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(encoded) + bytes([value])


def version_2(model, digest):
    image, patch, _, embed, heads, _, hidden, depth, classes = model.dims
    bits = 32 if model.kind == 0 else 8
    front = struct.pack("<6f", model.mean, model.std, 0, 1, 0, 1) + model.description
    front += b"\0" if digest is None else b"\1" + digest
    length = varint(len(model.weights))
    padding = -(64 + len(front) + 1 + len(length)) % 16
    body = front + bytes([padding]) + bytes(padding) + length + model.weights
    dims = image, image, 1, patch, patch, embed, heads, hidden, depth, classes
    head = struct.pack("<4sHBB10HI", b"ViT!", 2, model.kind, 0, *dims, 64 + len(body) + 4)
    head += struct.pack("<4B16xf8x", bits, 0, 0, 0, EPSILON)
    return head + body + struct.pack("<I", zlib.crc32(head + body))


def digest_of(model):
    """The digest of the checkpoint that a float model was made from."""
    assert model.kind == 0, "only a float model contains the parameters of its checkpoint"
    _, patch, tokens, embed, _, _, hidden, depth, classes = model.dims
    numbers = array("f", model.weights)
    if sys.byteorder == "big":
        numbers.byteswap()
    parameters, position = {}, 0

    def take(name, dims, transposed=False):
        nonlocal position
        outputs = dims[0] if transposed else 1
        inputs = 1
        for dim in dims[1:] if transposed else dims:
            inputs *= dim
        values = numbers[position : position + outputs * inputs]
        position += outputs * inputs
        # The model has input x output, a checkpoint output x input.
        parameters[name] = dims, array("f", (values[i * outputs + o] for o in range(outputs) for i in range(inputs)))

    take("patch_embed.proj.weight", (embed, 1, patch, patch), True)
    take("patch_embed.proj.bias", (embed,))
    take("cls_token", (1, 1, embed))
    take("pos_embed", (1, tokens, embed))
    for block in range(depth):
        name = f"blocks.{block}."
        take(name + "norm1.weight", (embed,))
        take(name + "norm1.bias", (embed,))
        for part in "query", "key", "value":
            take(part + ".weight", (embed, embed), True)
            take(part + ".bias", (embed,))
        for kind, dims in ("weight", (3 * embed, embed)), ("bias", (3 * embed,)):
            packed = array("f")
            for part in "query", "key", "value":
                packed += parameters.pop(f"{part}.{kind}")[1]
            parameters[f"{name}attn.in_proj_{kind}"] = dims, packed
        take(name + "attn.out_proj.weight", (embed, embed), True)
        take(name + "attn.out_proj.bias", (embed,))
        take(name + "norm2.weight", (embed,))
        take(name + "norm2.bias", (embed,))
        take(name + "mlp.0.weight", (hidden, embed), True)
        take(name + "mlp.0.bias", (hidden,))
        take(name + "mlp.3.weight", (embed, hidden), True)
        take(name + "mlp.3.bias", (embed,))
    take("norm.weight", (embed,))
    take("norm.bias", (embed,))
    take("head.weight", (classes, embed), True)
    take("head.bias", (classes,))
    assert position == len(numbers)

    digest = hashlib.sha256()
    for name, (dims, values) in sorted(parameters.items()):
        digest.update(struct.pack("<I", len(name)) + name.encode())
        digest.update(struct.pack(f"<I{len(dims)}Q", len(dims), *dims))
        digest.update(struct.pack(f"<{len(values)}f", *values))
    return digest.digest()


def main():
    old, new, *made_from = sys.argv[1:]
    model = Version1(old)
    if made_from:
        option, path = made_from
        assert option == "--made-from"
        digest = digest_of(Version1(path))
    else:
        digest = digest_of(model) if model.kind == 0 else None
    with open(new, "wb") as file:
        file.write(version_2(model, digest))
    print(f"{new}: digest of the checkpoint {'unknown' if digest is None else digest.hex()}")


if __name__ == "__main__":
    main()
