"""What `vit-train bench` is to be compared with: a training step in PyTorch, with the images on the device.

    pip install torch
    python tests/pytorch/step.py [--preset base] [--precision tf32] [--modes eager,default,reduce-overhead]
        [--device cuda] [--stretches 5]

A step is 128 images: forward, backward, clipping, AdamW (fused), with dropout and without augmentation; every 32 steps,
the loss is read. `eager` is the network as it is, the other modes are those of `torch.compile`. `reduce-overhead` replays
CUDA graphs of the network; loss, clipping and AdamW are outside of them.
Prints one JSON line: the median milliseconds of a step, in three rounds, in which the modes take turns.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from vit import PRESETS, ViT

IMAGES, BATCH, STRETCH = 60_000, 128, 32


def trainer(options, mode, images, labels):
    """A function that takes one step of a stretch."""
    net = ViT(options.preset).to(options.device).train()
    run = net if mode == "eager" else torch.compile(net, mode=mode)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    order = torch.randperm(IMAGES, device=options.device)
    total = torch.zeros((), device=options.device)

    def step(number):
        batch = order[number * BATCH :][:BATCH]
        optimizer.zero_grad()
        loss = loss_of(run(images[batch]), labels[batch])
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        total.add_(loss.detach())
        if number == STRETCH - 1:
            total.item()

    return step


def milliseconds(step, stretches):
    """The median of a step's time in this many stretches."""
    times = []
    for _ in range(stretches):
        begin = time.perf_counter()
        for number in range(STRETCH):
            step(number)  # the last one waits for all
        times.append(1e3 * (time.perf_counter() - begin) / STRETCH)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", choices=PRESETS, default="base")
    parser.add_argument("--precision", choices=["f32", "tf32"], default="tf32")
    parser.add_argument("--modes", default="eager,default,reduce-overhead")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--stretches", type=int, default=5)
    options = parser.parse_args()

    torch.set_float32_matmul_precision("high" if options.precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = options.precision == "tf32"
    image, *_, classes = PRESETS[options.preset]
    images = torch.randn(IMAGES, *image, device=options.device)
    labels = torch.randint(0, classes, (IMAGES,), device=options.device)
    steps = {mode: trainer(options, mode, images, labels) for mode in options.modes.split(",")}
    for step in steps.values():
        milliseconds(step, 1)  # compiles
    step_ms = {mode: [] for mode in steps}
    for _ in range(3):
        for mode, step in steps.items():
            step_ms[mode].append(round(milliseconds(step, options.stretches), 3))
    name = torch.cuda.get_device_name() if options.device == "cuda" else options.device
    print(json.dumps({"torch": torch.__version__, "device": name, "precision": options.precision, "step_ms": step_ms}))


if __name__ == "__main__":
    main()
