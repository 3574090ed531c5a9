"""Runs an exported network with onnxruntime.

    python3 logits.py MODEL.onnx BATCH...      (the pixels of all batches, as bytes, on the standard input)

It prints one line of JSON: the metadata of the model, and the logits of each batch. Pixels have the type and the order of
the network's input, `batch x channels x height x width`.
"""

import json
import sys

import numpy as np
import onnxruntime


def main():
    session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    (pixels,) = session.get_inputs()
    assert pixels.type == "tensor(uint8)", pixels.type
    logits = []
    for batch in map(int, sys.argv[2:]):
        shape = [batch, *pixels.shape[1:]]
        images = np.frombuffer(sys.stdin.buffer.read(int(np.prod(shape))), np.uint8).reshape(shape)
        (output,) = session.run(None, {pixels.name: images})
        logits.append(output.tolist())
    json.dump({"metadata": session.get_modelmeta().custom_metadata_map, "logits": logits}, sys.stdout)


if __name__ == "__main__":
    main()
