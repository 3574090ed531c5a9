"""PyTorch and vit-train take each other's networks: trains a little in PyTorch, and compares the logits of both.

    pip install torch safetensors numpy
    python tests/pytorch/round_trip.py --preset nano --data data/mnist [--run runs/nano]

Ends with an error where a logit differs by more than 1e-4.
"""

import argparse
import pathlib
import subprocess
import tempfile

import safetensors
import torch
from mnist import images, labels
from safetensors.torch import load_file, save_file
from vit import PRESETS, ViT

ROOT = pathlib.Path(__file__).parents[2]
TOLERANCE = 1e-4
MNIST_PRESETS = [name for name, (image, *_) in PRESETS.items() if image == (1, 28, 28)]


def normalized(folder, part):
    return (torch.from_numpy(images(folder, part).copy()) / 255 - 0.1307) / 0.3081


def train(model, folder, steps):
    x, y = normalized(folder, "train"), torch.from_numpy(labels(folder, "train").copy()).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    for step in range(steps):
        batch = torch.arange(step * 128, (step + 1) * 128) % len(x)
        loss = torch.nn.functional.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"trained {steps} steps in PyTorch, loss {loss.item():.3f}")


@torch.no_grad()
def logits(model, x):
    model.eval()
    return torch.cat([model(batch) for batch in x.split(500)])


def vit_train(arguments, *words):
    program = [arguments.program] if arguments.program else ["cargo", "run", "-q", "-p", "vit-train", "--"]
    subprocess.run([*program, *words], cwd=ROOT, check=True)


def compare(what, ours, theirs):
    largest = (ours - theirs).abs().max().item()
    same = (ours.argmax(1) == theirs.argmax(1)).all().item()
    print(f"{what}: largest difference of {ours.numel()} logits {largest:.2e}, same classes: {same}")
    return largest <= TOLERANCE


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=MNIST_PRESETS, default="nano")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of MNIST's four files")
    parser.add_argument("--run", type=pathlib.Path, help="folder of a run of vit-train, to be loaded into PyTorch")
    parser.add_argument("--steps", type=int, default=50, help="training steps in PyTorch")
    parser.add_argument("--program", type=pathlib.Path, help="vit-train, if it is not to be run by cargo")
    arguments = parser.parse_args()
    arguments.data = arguments.data.resolve()
    arguments.program = arguments.program and arguments.program.resolve()
    print(f"{arguments.preset}, torch {torch.__version__}, safetensors {safetensors.__version__}")
    torch.manual_seed(0)
    test = normalized(arguments.data, "t10k")
    good = []

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)

        def ours(file):
            vit_train(arguments, "eval", file, "--data", arguments.data, "--logits", folder / "logits.safetensors")
            return load_file(folder / "logits.safetensors")["logits"]

        model = ViT(arguments.preset)
        train(model, arguments.data, arguments.steps)
        save_file(model.state_dict(), folder / "theirs.safetensors", metadata={"format": "pt"})
        vit_train(arguments, "export", folder / "theirs.safetensors", "--vit", folder / "theirs.vit")
        theirs = logits(model, test)
        good.append(compare("PyTorch's network in dfdx", ours(folder / "theirs.safetensors"), theirs))
        good.append(compare("PyTorch's network in vit-nostd", ours(folder / "theirs.vit"), theirs))

        if arguments.run:
            run = arguments.run.resolve()
            model = ViT(arguments.preset)
            model.load_state_dict(load_file(run / "checkpoint.safetensors"), strict=True)
            theirs = logits(model, test)
            good.append(compare("vit-train's network, dfdx", ours(run / "checkpoint.safetensors"), theirs))
            good.append(compare("vit-train's network, vit-nostd", ours(run / "model.f32.vit"), theirs))
            vit_train(arguments, "export", run / "model.f32.vit", "--safetensors", folder / "back.safetensors")
            model.load_state_dict(load_file(folder / "back.safetensors"), strict=True)
            good.append(compare("vit-train's network, from its model file", logits(model, test), theirs))
    assert all(good), f"a difference above {TOLERANCE}"


if __name__ == "__main__":
    main()
