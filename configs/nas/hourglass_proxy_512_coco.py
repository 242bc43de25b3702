# Connections of R0-SP53's blocks in hourglass order (arXiv 1912.05027, Sec. 4.4), with SpineNet's proxy.
_base_ = './spinenet_proxy_512_coco.py'
search = dict(space=dict(base='Hourglass'), trials=13000)
