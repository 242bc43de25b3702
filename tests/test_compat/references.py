"""Slow scalar definitions of the operators, one Python loop per index, to check the fast ones against."""

import math

import numpy as np


def iou(a, b, offset=0):
    one, zero = np.float32(offset), np.float32(0)
    width = max(zero, min(a[2], b[2]) - max(a[0], b[0]) + one)
    height = max(zero, min(a[3], b[3]) - max(a[1], b[1]) + one)
    inter = width * height
    areas = [(box[2] - box[0] + one) * (box[3] - box[1] + one) for box in (a, b)]
    with np.errstate(invalid='ignore'):
        return inter / (areas[0] + areas[1] - inter)


def nms(boxes, order, threshold, offset=0):
    kept = []
    for i in order:
        if all(not iou(boxes[j], boxes[i], offset) > np.float32(threshold) for j in kept):
            kept.append(i)
    return kept


def nms_match(boxes, order, threshold):
    groups = []
    for i in order:
        for group in groups:
            if iou(boxes[group[0]], boxes[i]) >= np.float32(threshold):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def soft_nms(boxes, scores, threshold, sigma, min_score, method, offset=0):
    """The array is sorted by selection and shrunk by moving its last element, as the operator's definition says."""
    pool = [[i, boxes[i], np.float32(scores[i])] for i in range(len(boxes))]
    step = 0
    while step < len(pool):
        best = step
        for j in range(step + 1, len(pool)):
            if pool[j][2] > pool[best][2]:
                best = j
        pool[step], pool[best] = pool[best], pool[step]
        j = step + 1
        while j < len(pool):
            overlap = iou(pool[step][1], pool[j][1], offset)
            if method == 'gaussian':
                weight = np.float32(math.exp(-(overlap * overlap) / np.float32(sigma)))
            elif overlap >= np.float32(threshold):
                weight = np.float32(0) if method == 'naive' else 1 - overlap
            else:
                weight = np.float32(1)
            pool[j][2] = pool[j][2] * weight
            if pool[j][2] < np.float32(min_score):
                last = pool.pop()
                if j < len(pool):
                    pool[j] = last
            else:
                j += 1
        step += 1
    return [entry[0] for entry in pool], [entry[2] for entry in pool]


def bilinear(plane, y, x):
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    top = plane[y0, x0] * (1 - (x - x0)) + plane[y0, x1] * (x - x0)
    bottom = plane[y1, x0] * (1 - (x - x0)) + plane[y1, x1] * (x - x0)
    return top * (1 - (y - y0)) + bottom * (y - y0)


def roi_align(features, rois, size, scale, ratio, mode, aligned):
    output = np.zeros((len(rois), features.shape[1], *size))
    shift = 0.5 if aligned else 0.0
    for k, (image, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (value * scale - shift for value in corners)
        width, height = x2 - x1, y2 - y1
        if not aligned:
            width, height = max(width, 1), max(height, 1)
        bin_h, bin_w = height / size[0], width / size[1]
        rows, columns = (ratio, ratio) if ratio > 0 else (math.ceil(bin_h), math.ceil(bin_w))
        for c in range(features.shape[1]):
            for ph in range(size[0]):
                for pw in range(size[1]):
                    samples = [
                        bilinear(
                            features[int(image), c],
                            y1 + (ph + (i + 0.5) / rows) * bin_h,
                            x1 + (pw + (j + 0.5) / columns) * bin_w,
                        )
                        for i in range(rows)
                        for j in range(columns)
                    ]
                    if samples:
                        output[k, c, ph, pw] = max(samples) if mode == 'max' else sum(samples) / len(samples)
    return output


def roi_pool(features, rois, size, scale):
    output = np.zeros((len(rois), features.shape[1], *size))
    height, width = features.shape[2:]
    for k, (image, x1, y1, x2, y2) in enumerate(rois):
        top, left = y1 * scale, x1 * scale
        bin_h, bin_w = ((y2 + 1) * scale - top) / size[0], ((x2 + 1) * scale - left) / size[1]
        for ph in range(size[0]):
            for pw in range(size[1]):
                rows = range(max(math.floor(ph * bin_h + top), 0), min(math.ceil((ph + 1) * bin_h + top), height))
                columns = range(max(math.floor(pw * bin_w + left), 0), min(math.ceil((pw + 1) * bin_w + left), width))
                for c in range(features.shape[1]):
                    pixels = [features[int(image), c, y, x] for y in rows for x in columns]
                    if pixels and bin_h > 0 and bin_w > 0:
                        output[k, c, ph, pw] = max(pixels)
    return output


def sigmoid_focal_loss(logits, target, gamma, alpha, weight=None):
    output = np.zeros(logits.shape)
    for n in range(logits.shape[0]):
        for c in range(logits.shape[1]):
            p = 1 / (1 + math.exp(-logits[n, c]))
            if target[n] == c:
                loss = -alpha * (1 - p) ** gamma * math.log(p)
            else:
                loss = -(1 - alpha) * p**gamma * math.log(1 - p)
            factor = 1 if weight is None or target[n] >= len(weight) else weight[target[n]]
            output[n, c] = loss * factor
    return output
