# A detector on a folder of one's own boxes: look at it, train, evaluate, predict.
mmlight sample --out street
mmlight check street --out sheet.png
mmlight train thundernet_snet49_custom-coco --data street --epochs 1 --work-dir run
mmlight test run/thundernet_snet49_custom-coco.py run/epoch_1.pth
mmlight predict run/thundernet_snet49_custom-coco.py street/leftImg8bit/val --weights run/epoch_1.pth --score-thr 0.01 --out found
