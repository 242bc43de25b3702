"""Networks outside of PyTorch: ONNX files, the proof that they compute the same, and evaluation with them."""
