//! Tests that another program computes the same logits from the ONNX export.
