"""What OpenMMLab's libraries say in names that NumPy has removed."""

import numpy as np
import pytest


def test_youtube_vis_is_evaluated():
    """A perfect prediction of one object in a video of two frames has AP 1."""
    from mmdet.datasets.api_wrappers import COCO  # noqa: F401  (the package's own order of imports)
    from mmdet.evaluation.functional import YTVIS, YTVISeval

    mask = np.zeros((8, 8), np.uint8, order='F')
    mask[2:6, 2:6] = 1
    from pycocotools import mask as codes

    outline = codes.encode(mask)
    outline = dict(size=outline['size'], counts=outline['counts'].decode())
    video = dict(id=1, file_names=['a.jpg', 'b.jpg'], width=8, height=8, length=2)
    truth = YTVIS()
    truth.dataset = dict(
        videos=[video],
        categories=[dict(id=1, name='thing')],
        annotations=[
            dict(
                id=1, video_id=1, category_id=1, iscrowd=0, height=8, width=8,
                segmentations=[outline, outline], bboxes=[[2, 2, 4, 4]] * 2, areas=[16, 16],
            )
        ],
    )  # fmt: skip
    truth.createIndex()
    found = truth.loadRes([dict(video_id=1, score=0.9, category_id=1, segmentations=[outline, outline])])
    evaluation = YTVISeval(truth, found, 'segm')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


@pytest.mark.parametrize('thresholds', [[0.5], [0.1, 0.3], 0.6])
def test_thresholds_of_a_config(thresholds, tmp_path):
    """A perfect prediction has AP 1 at any; where there is no 0.5 among them, pycocotools gives -1 for AP50."""
    from mmdet.evaluation import CocoMetric

    found = dict(bboxes=np.array([[2, 2, 6, 6]]), scores=np.array([0.9]), labels=np.array([0]))
    metric = CocoMetric(iou_thrs=thresholds, outfile_prefix=str(tmp_path / 'results'))
    metric.dataset_meta = dict(classes=('thing',))
    truth = dict(img_id=1, width=8, height=8, anns=[dict(bbox_label=0, bbox=[2, 2, 6, 6])])
    metric.results = [(truth, dict(img_id=1, **found))]
    scores = metric.compute_metrics(metric.results)
    assert scores['bbox_mAP'] == 1
    assert scores['bbox_mAP_50'] == (1 if thresholds == [0.5] else -1)
