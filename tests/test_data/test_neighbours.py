"""`mmlight check` and `mmlight train` of many data sets: what was drawn, or one line; never a traceback."""

import json
import re
import resource
import sys
import time
from pathlib import Path

import pytest
from exports import NAMES, TRUTH
from mmengine.registry import DATASETS, init_default_scope
from neighbouring_inputs import DETECTION, TRAIN_JSON, yolo
from test_exports import boxes_of
from test_masks import FOLDERS, WRONG
from tiny_project import project

from mmlight.cli import main
from mmlight.data.check import check_config_data
from mmlight.data.coco_folder import use_coco_folder
from mmlight.data.survey import survey
from mmlight.errors import InputError
from mmlight.runtime.config import load_config

SECONDS, BYTES = 60, 4e9
LOADER = 'mmlight.LoadImage'
MASKS = {**{name: (make, None) for name, make in FOLDERS.items()}, **WRONG}
INPUTS = {**DETECTION, **MASKS}


@pytest.mark.parametrize(
    ('file', 'content', 'message'),
    [
        ('i0.json', dict(version='5', shapes=[], imagePath='i0.jpg'), "i0.json is labelme's own format: labelme2coco"),
        ('export.json', [dict(id=1, data={}, annotations=[])], "export.json is Label Studio's own format"),
        ('via.json', {'i0.jpg12': dict(filename='i0.jpg', regions=[])}, "via.json is the VGG annotator's own format"),
        ('train/a.json', [dict(image='i0.jpg', annotations=[])], "train/a.json is Create ML's format"),
    ],
)
def test_formats_that_are_known_but_not_read(file, content, message, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(InputError, match=re.escape(message)):
        survey(tmp_path)


def test_names_that_yaml_takes_for_something_else(tmp_path):
    """`no` is a truth value to YAML, 007 is 7."""
    yolo(tmp_path)
    (tmp_path / 'data.yaml').write_text('train: images/train\nval: images/val\ntest: null\nnames: [no, 007]\n')
    assert list(survey(tmp_path).splits['train'].objects) == ['no', '007']


def test_an_image_that_is_listed_twice_is_said(tmp_path):
    make, _ = DETECTION['area 0']
    make(tmp_path)
    file = tmp_path / TRAIN_JSON
    data = json.loads(file.read_text())
    data['images'][1]['file_name'] = data['images'][0]['file_name']
    file.write_text(json.dumps(data))
    assert any('images listed more than once' in remark for remark in survey(tmp_path).splits['train'].problems)


def test_there_are_enough():
    assert len(INPUTS) >= 80


def read_all(cfg, tmp_path: Path) -> set[int]:
    """The channels of all images of the training, as the model gets them."""
    check_config_data(use_coco_folder(cfg, tmp_path / 'data', tmp_path / 'run'))
    loaded = DATASETS.build(cfg.train_dataloader.dataset)
    return {loaded[number]['inputs'].shape[0] for number in range(len(loaded))}


@pytest.mark.parametrize('name', DETECTION)
def test_boxes(name, tmp_path):
    """What trains, trains on what was drawn; what does not is refused in a line by check or the loader."""
    make, refused = DETECTION[name]
    make(tmp_path / 'data')
    init_default_scope('mmdet')
    cfg = load_config(project() / 'det.py')
    cfg.train_dataloader.dataset.pipeline[0].type = LOADER
    if refused is not None:
        with pytest.raises(InputError, match=refused) as caught:
            read_all(cfg, tmp_path)
        assert '\n' not in str(caught.value)
        return
    survey(tmp_path / 'data', tmp_path / 'sheet.png')
    channels = read_all(cfg, tmp_path)
    assert channels == {3}
    found = {}
    for split in ('train', 'val'):
        dataset = DATASETS.build({**cfg[f'{split}_dataloader'].dataset, 'pipeline': []})
        found |= boxes_of(dataset)
    truth = {
        image: sorted((NAMES[label], *map(float, box)) for label, *box in objects) for image, objects in TRUTH.items()
    }
    if name == 'val lists what it uses':
        truth |= {image: [one for one in truth[image] if one[0] == 'bee'] for image in ('i0', 'i5')}
    assert found == truth


@pytest.mark.long
@pytest.mark.parametrize('name', INPUTS)
def test_check_and_train(name, tmp_path, capsys):
    """The commands themselves; an input that trains does so for an epoch, or two steps."""
    make, refused = INPUTS[name]
    make(tmp_path / 'data')
    kind = 'seg' if name in MASKS else 'det'
    options = ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
               f'train_dataloader.dataset.pipeline.0.type={LOADER}']  # fmt: skip
    if kind == 'seg':
        options = ['train_dataloader.batch_size=2', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2']
    epochs = [] if kind == 'seg' else ['--epochs', '1']
    run = [
        '--data',
        str(tmp_path / 'data'),
        '--work-dir',
        str(tmp_path / 'run'),
        '--device',
        'cpu',
        '--no-report',
        *epochs,
    ]
    codes = []
    for command in (
        ['check', str(tmp_path / 'data'), '--out', str(tmp_path / 'sheet.png')],
        ['train', str(project() / f'{kind}.py'), *run, '--cfg-options', *options],
    ):
        start = time.monotonic()
        codes.append(main(command))
        assert time.monotonic() - start < SECONDS
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error:')]
        assert len(lines) == (codes[-1] == 2), lines
    assert codes[1] == (0 if refused is None else 2)
    assert codes[0] in ((0,) if refused is None else (0, 2))  # a damaged image is found when it is read
    if refused is None:
        (log,) = Path(tmp_path / 'run').rglob('scalars.json')
        assert any({'coco/bbox_mAP', 'mIoU'} & json.loads(line).keys() for line in log.read_text().splitlines())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)
    assert memory < BYTES
