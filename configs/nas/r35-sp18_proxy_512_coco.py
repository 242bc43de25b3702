# R35-SP18's search: order and connections of its blocks (arXiv 1912.05027, Table 1), with SpineNet's proxy.
_base_ = './spinenet_proxy_512_coco.py'
search = dict(space=dict(base='R35-SP18'), trials=6000)
