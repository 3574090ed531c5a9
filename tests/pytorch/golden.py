"""What vit-train/tests/program/exchange.rs expects of PyTorch: prints it as Rust.

The weights and images are a formula's, so that the test has them without PyTorch.

    pip install torch safetensors numpy
    python tests/pytorch/golden.py
"""

import hashlib
import pathlib
import tempfile

import numpy
import safetensors
import torch
from safetensors.torch import save_file
from vit import ViT

FIRST_PIXEL = 1_000_000


def noise(start, count):
    """16 bits each, all exact."""
    x = numpy.arange(start, start + count, dtype=numpy.uint64) * 2654435761 % 2**32
    x ^= x >> 15
    return (x * 2246822519 % 2**32) >> 16


def weights(state_dict):
    start = 0
    for name, tensor in state_dict.items():
        values = (noise(start, tensor.numel()) / 65536 - 0.5) / 2
        if "norm" in name and name.endswith("weight"):
            values += 1
        tensor.copy_(torch.from_numpy(values).reshape(tensor.shape))
        start += tensor.numel()


@torch.no_grad()
def main():
    model = ViT("nano").eval()
    weights(model.state_dict())
    pixels = torch.from_numpy((noise(FIRST_PIXEL, 2 * 784) >> 8).astype("f4")).reshape(2, 1, 28, 28)
    logits = model((pixels / 255 - 0.1307) / 0.3081)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "nano.safetensors"
        save_file(model.state_dict(), file, metadata={"format": "pt"})
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    print(f"// torch {torch.__version__}, safetensors {safetensors.__version__}")
    print(f'const SHA_256: &str = "{digest}";')
    for row in logits.tolist():
        print("[" + ", ".join(f"{logit:.5f}" for logit in row) + "],")


if __name__ == "__main__":
    main()
