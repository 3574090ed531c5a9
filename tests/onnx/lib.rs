//! Proves that another program computes the same from the ONNX export.
