"""The ONNX export in the hands of ONNX's own checker and of onnxruntime: compares its logits with vit-nostd's.

    pip install onnx onnxruntime safetensors numpy
    python tests/pytorch/onnx_check.py --data data/mnist runs/nano/model.f32.vit

Ends with an error where a logit differs by more than 1e-4.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy
import onnx
import onnxruntime
from mnist import images
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).parents[2]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="a float model file")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of MNIST's four files")
    parser.add_argument("--program", type=pathlib.Path, help="vit-train, if it is not to be run by cargo")
    arguments = parser.parse_args()
    program = [arguments.program.resolve()] if arguments.program else ["cargo", "run", "-q", "-p", "vit-train", "--"]
    model, data = arguments.model.resolve(), arguments.data.resolve()
    pixels = images(data, "t10k")

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        file, expected = folder / "model.onnx", folder / "logits.safetensors"
        subprocess.run([*program, "export", model, "--onnx", file], cwd=ROOT, check=True)
        subprocess.run([*program, "eval", model, "--data", data, "--logits", expected], cwd=ROOT, check=True)
        expected = load_file(expected)["logits"]
        onnx.checker.check_model(file, full_check=True)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
    for value in [*session.get_inputs(), *session.get_outputs()]:
        print(value.name, value.type, value.shape)
    metadata = session.get_modelmeta().custom_metadata_map
    print("classes", json.loads(metadata["labels"]), "metadata", sorted(metadata))
    for batch in [1, 7, 128]:
        parts = range(0, len(pixels) if batch == 128 else 50 * batch, batch)
        logits = numpy.concatenate([session.run(None, {"pixels": pixels[i : i + batch]})[0] for i in parts])
        largest = numpy.abs(logits - expected[: len(logits)]).max()
        print(f"batches of {batch}: largest difference of {logits.size} logits {largest:.2e}")
        assert largest <= 1e-4


if __name__ == "__main__":
    main()
