# A detector as a file that runs without PyTorch.
mmlight sample --out street
mmlight export thundernet_snet49_sample --shape 160 --images street/leftImg8bit/val --out net.onnx
python "$(python -c 'import mmlight; print(mmlight.__path__[0])')/.mim/tools/deployment/predict_onnx.py" net.onnx street/leftImg8bit/val --out found
mmlight export thundernet_snet49_sample --shape 160 --images street/leftImg8bit/val --format torchscript
mmlight benchmark thundernet_snet49_sample@160 --columns eager fused --seconds 0.5 --warmup 0.5
