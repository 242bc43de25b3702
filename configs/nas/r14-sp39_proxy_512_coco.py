# R14-SP39's search: order and connections of its blocks (arXiv 1912.05027, Table 1), with SpineNet's proxy.
_base_ = './spinenet_proxy_512_coco.py'
search = dict(space=dict(base='R14-SP39'), trials=13000)
