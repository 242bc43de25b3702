# Two trainings beside a network of mmdet's, on one page.
mmlight sample --out street
mmlight train thundernet_snet49_custom-coco --data street --epochs 1 --work-dir a
mmlight train nas-fpn_shufflenet-v2_sample --data street --epochs 1 --work-dir b
mmlight compare mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py@320 --work-dirs a b --images street/leftImg8bit/val --out report --seconds 0.5
