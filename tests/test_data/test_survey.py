"""`mmlight check`: what a folder holds, a contact sheet, and a corrected copy that trains."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmlight.cli import main
from mmlight.data.check import check_coco, check_config_data
from mmlight.data.coco_folder import use_coco_folder
from mmlight.data.masks import use_mask_folder
from mmlight.data.survey import LINE, TILE, colour, survey
from mmlight.errors import InputError
from mmlight.runtime.config import load_config


def coco(root: Path, **changes) -> Path:
    """Two splits of three images with a box each."""
    for split in ('train', 'val'):
        images, boxes = [], []
        for number in range(3):
            path = root / split / f'{number}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((48, 64, 3), 60 * number, np.uint8)).save(path)
            images.append(dict(id=number, file_name=path.name, width=64, height=48))
            box = dict(id=number, image_id=number, category_id=3, bbox=[8, 8, 20, 16], area=320, iscrowd=0)
            boxes.append({key: value for key, value in (box | changes).items() if value is not None})
        file = root / f'annotations/instances_{split}.json'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(dict(images=images, annotations=boxes, categories=[dict(id=3, name='cell')])))
    return root


def test_counts_of_boxes(tmp_path):
    found = survey(coco(tmp_path / 'data'))
    assert found.kind == 'detection'
    assert {name: dict(split.objects) for name, split in found.splits.items()} == {
        'train': {'cell': 3},
        'val': {'cell': 3},
    }
    assert found.splits['train'].sizes == {(64, 48): 3}


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        (dict(area=None), 'annotations had no area'),
        (dict(iscrowd=None), 'annotations had no iscrowd'),
        (dict(id=None), 'annotations are numbered from 1'),
        (dict(bbox=[-5, 8, 20, 16]), 'beyond'),
    ],
)
def test_a_corrected_copy_trains(changes, said, tmp_path):
    root = coco(tmp_path / 'data', **changes)
    before = {path: path.read_bytes() for path in root.rglob('*') if path.is_file()}
    assert said in str(survey(root, tmp_path / 'sheet.png', tmp_path / 'fixed'))
    assert {path: path.read_bytes() for path in root.rglob('*') if path.is_file()} == before
    again = survey(tmp_path / 'fixed')
    assert [line for split in again.splits.values() for line in split.problems if said in line] == []
    cfg = use_coco_folder(load_config('thundernet_snet49_custom-coco'), tmp_path / 'fixed', tmp_path / 'run')
    check_config_data(cfg)
    boxes = json.loads((tmp_path / 'fixed/annotations/instances_train.json').read_text())['annotations']
    assert len(boxes) == 3
    assert all(box['bbox'][0] >= 0 for box in boxes)


def test_the_sheet_shows_the_boxes(tmp_path):
    survey(coco(tmp_path / 'data'), tmp_path / 'sheets' / 'sheet.png')
    sheet = np.asarray(Image.open(tmp_path / 'sheets' / 'sheet.png'))
    assert len({tuple(pixel) for pixel in sheet[::3, ::3].reshape(-1, 3)}) > 3  # ground, three greys, outlines


@pytest.mark.parametrize('name', ['猫 & собака', '$x^2$', '', 'two\nlines', 'x' * 300])
def test_any_name_is_drawn(name, tmp_path):
    root = coco(tmp_path / 'data')
    for file in root.glob('annotations/*'):
        data = json.loads(file.read_text())
        data['categories'][0]['name'] = name
        file.write_text(json.dumps(data))
    survey(root, tmp_path / 'sheet.png')
    assert np.asarray(Image.open(tmp_path / 'sheet.png')).std() > 5


def test_names_of_masks_stand_below_them(tmp_path):
    for names in (['a', 'b'], [f'a long name of a class {number}' for number in range(40)]):
        for number in range(2):
            for part, array in (
                ('images', np.full((48, 64, 3), 90, np.uint8)),
                ('masks', np.arange(48 * 64).reshape(48, 64).astype(np.uint8) % 2),
            ):
                path = tmp_path / f'{len(names)}/{part}/{number}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
        (tmp_path / f'{len(names)}/classes.txt').write_text('\n'.join(names))
        survey(tmp_path / f'{len(names)}', tmp_path / 'sheet.png')
        below = np.asarray(Image.open(tmp_path / 'sheet.png'))[TILE:]
        assert below.shape[0] == LINE + 4 if len(names) == 2 else below.shape[0] > 5 * LINE
        for number in range(len(names)):
            assert (below == colour(number)).all(-1).sum() > 20, number


def test_masks(tmp_path, capsys):
    for split in ('train', 'val'):
        for number in range(2):
            for part, array in (
                ('images', np.full((48, 64, 3), 90, np.uint8)),
                ('masks', np.uint8(255) * (np.arange(48 * 64).reshape(48, 64) % 3 > number)),
            ):
                path = tmp_path / 'data' / part / split / f'{number}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
    assert (
        main(['check', str(tmp_path / 'data'), '--out', str(tmp_path / 's.png'), '--fix', str(tmp_path / 'fixed')]) == 0
    )
    out = capsys.readouterr().out
    assert 'segmentation, 2 classes' in out
    assert (tmp_path / 'fixed/classes.txt').read_text().split() == ['background', 'foreground']
    cfg = use_mask_folder(load_config('dfanet_a_custom-masks'), tmp_path / 'fixed', tmp_path / 'run')
    cfg.train_dataloader.batch_size = 2
    check_config_data(cfg)
    assert np.unique(np.asarray(Image.open(tmp_path / 'fixed/masks/train/0.png'))).tolist() == [0, 1]


def test_bad_input(tmp_path, capsys):
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/x').touch()
    root = coco(tmp_path / 'data')
    for arguments, said in (
        ([str(tmp_path / 'gone')], 'does not exist'),
        ([str(tmp_path / 'full')], 'no train annotations; looked for'),
        ([str(root), '--fix', str(tmp_path / 'full')], 'exists; name a new folder'),
        ([str(root), '--out', str(tmp_path / 'sheet.xyz')], 'cannot be written'),
    ):
        assert main(['check', *arguments]) == 2
        assert said in capsys.readouterr().err
    data = json.loads((root / 'annotations/instances_train.json').read_text())
    data['images'][0]['file_name'] = '../../outside.png'
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / 'outside.png')
    (root / 'annotations/instances_train.json').write_text(json.dumps(data))
    with pytest.raises(InputError, match='leads out of the folder'):
        survey(root, fix=tmp_path / 'new')


@pytest.mark.parametrize('encoding', ['utf-16', 'utf-16-le', 'utf-8-sig', 'utf-32'])
def test_other_encodings(encoding, tmp_path):
    root = coco(tmp_path / 'data')
    for file in root.glob('annotations/*'):
        file.write_bytes(file.read_text().encode(encoding))
    cfg = use_coco_folder(load_config('thundernet_snet49_custom-coco'), root, tmp_path / 'run')
    assert any('pycocotools reads UTF-8' in warning for warning in check_config_data(cfg))
    json.loads(Path(cfg.val_evaluator.ann_file).read_text(encoding='utf-8'))
    with pytest.raises(InputError, match=r'instances_train\.json: its encoding is utf'):
        check_coco(root / 'annotations/instances_train.json', root / 'train')
