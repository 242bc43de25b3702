# A segmentor on a folder of one's own masks.
mmlight sample --out street
mmlight check street --out sheet.png
mmlight train bisenet_xception39_custom-masks --data street --epochs 1 --work-dir run
mmlight test run/bisenet_xception39_custom-masks.py run/epoch_1.pth
mmlight predict run/bisenet_xception39_custom-masks.py street/leftImg8bit/val --weights run/epoch_1.pth --out found
