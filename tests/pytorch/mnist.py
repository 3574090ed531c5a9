"""MNIST's files as numpy arrays."""

import gzip

import numpy


def idx(folder, name, header):
    """The bytes after the header, packed or not."""
    packed = folder / (name + ".gz")
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()
    return numpy.frombuffer(data, numpy.uint8, offset=header)


def images(folder, part):
    """`train` or `t10k`: grey levels, count x 1 x 28 x 28."""
    return idx(folder, part + "-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)


def labels(folder, part):
    return idx(folder, part + "-labels-idx1-ubyte", 8)
