import csv
import functools
import http.server
import io
import json
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pycocotools.mask import decode, encode
from tiny_project import project

from mmlight.cli import main
from mmlight.errors import InputError
from mmlight.runtime import predict as module
from mmlight.runtime.config import load_config
from mmlight.runtime.exports import export
from mmlight.runtime.model import build_model, dataset_meta
from mmlight.runtime.predict import Names, detections, predict, shares
from mmlight.runtime.sources import find_images, find_sources, frames
from mmlight.runtime.unique_names import UniqueNames


def test_detections_are_coco_results():
    instances = InstanceData(
        bboxes=torch.tensor([[1.0, 2.0, 11.0, 22.0], [0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 1.0, 1.0]]),
        scores=torch.tensor([0.5, 0.75, 0.2]),
        labels=torch.tensor([1, 0, 0]),
        masks=torch.zeros(3, 6, 8, dtype=torch.bool),
    )
    instances.masks[0, 1:3, 2:5] = True
    best, second = detections(instances, ('a', 'b'), 0.3)
    assert best['bbox'] == [0, 0, 4, 4]
    assert second['bbox'] == [1, 2, 10, 20]
    assert (second['score'], second['category_id'], second['category']) == (0.5, 1, 'b')
    assert np.array_equal(decode(second['segmentation']), instances.masks[0].numpy())


def test_shares_are_ordered_and_sum_to_one():
    labels = np.array([[0, 0, 2], [2, 2, 2]])
    assert shares(labels, ('a', 'b', 'c')) == {'c': 0.66667, 'a': 0.33333}
    assert list(shares(labels, None)) == ['2', '0']


def test_find_images(tmp_path):
    for name in ('b.png', 'a.JPG', 'note.txt', 'deep/c.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'')
    assert [p.name for p in find_images([tmp_path])] == ['a.JPG', 'b.png', 'c.png'], 'a folder with what lies below it'
    assert [p.name for p in find_images([f'{tmp_path}/**/*.png'])] == ['b.png', 'c.png']
    assert [p.name for p in find_images([tmp_path / 'b.png', tmp_path])] == ['b.png', 'a.JPG', 'c.png'], 'each once'
    with pytest.raises(InputError, match='no such file'):
        find_images([tmp_path / 'gone.png'])


def test_pictures_of_one_name_are_kept_apart(tmp_path):
    names = Names()
    found = [names.free(tmp_path / folder / 'a.png') for folder in ('x', 'y', 'z')]
    assert found == ['a.png', 'a_1.png', 'a_2.png']
    assert names.free(tmp_path / 'w' / 'a_1.JPG') == 'a_1_1.JPG', 'labels share the stem'


@pytest.mark.parametrize('name', ['{}/a.png', 'x/{}.png'])
def test_each_name_is_looked_up_once_or_twice(name, tmp_path):
    """However many images there are: of one name in several folders, and of many names."""
    looked_up = []

    class Counted(dict):
        def __contains__(self, key):
            looked_up.append(key)
            return super().__contains__(key)

    hook = UniqueNames()
    hook.before_test(None)
    hook.names.taken = Counted()
    paths = [tmp_path / name.format(number) for number in range(500)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = {hook._name(str(path)) for path in paths}
    assert {hook._name(str(path)) for path in paths} == found, 'the same once more'
    assert len({Path(one).stem for one in found}) == 500
    assert len(looked_up) <= 1000
    hook.after_test(None)


def test_class_names_come_from_the_config_else_from_the_data_set_class():
    cfg = Config({'test_dataloader': {'dataset': {'type': 'mmseg.CityscapesDataset'}}})
    assert dataset_meta(cfg)['classes'][0] == 'road'
    cfg.test_dataloader.dataset = {'type': 'RepeatDataset', 'dataset': {'metainfo': {'classes': ('a',)}}}
    assert dataset_meta(cfg)['classes'] == ('a',)


def test_label_images_hold_class_indices(tmp_path):
    labels = np.array([[0, 18], [3, 255]], np.uint8)
    cv2.imwrite(str(tmp_path / 'x.png'), labels)
    assert np.array_equal(cv2.imread(str(tmp_path / 'x.png'), cv2.IMREAD_UNCHANGED), labels)


def film(path: Path, count: int = 5, size: tuple[int, int] = (64, 48)) -> Path:
    """A video whose frame k is grey of brightness 40 k."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, size)
    for number in range(count):
        writer.write(np.full((size[1], size[0], 3), 40 * number, np.uint8))
    writer.release()
    return path


def bomb(path: Path, width: int, height: int) -> Path:
    """A PNG of a few bytes whose header says that it is large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    content = chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(bytes(1000))) + chunk(b'IEND', b'')
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + content)
    return path


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Config and checkpoint of a detector and a segmentor."""
    made = {}
    for name in ('det', 'seg'):
        cfg = Config.fromfile(project() / f'{name}.py')
        init_default_scope(cfg.default_scope)
        made[name] = str(project() / f'{name}.py'), str(tmp_path_factory.mktemp('w') / f'{name}.pth')
        torch.manual_seed(0)
        torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, made[name][1])
    return made


def test_sources(tmp_path, monkeypatch):
    for name in ('a.png', 'b.MP4', 'note.txt'):
        (tmp_path / name).write_bytes(b'')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('sys.stdin', io.StringIO('a.png\n\nhttp://x/y.jpg\ngone.png\r\n.\nwith space.png'))
    listed = ['0', 'a.png', 'http://x/y.jpg', 'gone.png', 'b.MP4', 'with space.png']
    assert find_sources(['0', '-', tmp_path / 'a.png']) == [*listed, str(tmp_path / 'a.png')]
    (tmp_path / '0').mkdir()
    with pytest.raises(InputError, match='holds no image or video'):
        find_sources(['0'])
    monkeypatch.setattr('sys.stdin', io.StringIO('\n'))
    with pytest.raises(InputError, match='no image given'):
        find_sources(['-'])


def test_frames_of_a_video(tmp_path):
    path = film(tmp_path / 'v.mp4')
    found = list(frames(str(path), tmp_path))
    assert [(frame.number, frame.rate) for frame in found] == [(number, 10) for number in range(5)]
    assert [frame.image.mean() for frame in found] == pytest.approx([0, 40, 80, 120, 160], abs=3)
    (tmp_path / 'cut.mp4').write_bytes(path.read_bytes()[:500])
    for name, message in (('cut.mp4', 'cannot be decoded'), ('gone.mp4', 'no such file'), ('97', 'cannot be opened')):
        with pytest.raises(InputError, match=message):
            list(frames(name if name == '97' else str(tmp_path / name), tmp_path))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def send_header(self, key, value):
        super().send_header(key, '99999' if key == 'Content-Length' and 'short' in self.path else value)


def test_addresses(tmp_path):
    (tmp_path / 'web').mkdir()
    (tmp_path / 'out').mkdir()
    image = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    for name in ('a b.png', 'short.png'):
        cv2.imwrite(str(tmp_path / 'web' / name), image)
    film(tmp_path / 'web/v.mp4')
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=tmp_path / 'web'))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f'http://127.0.0.1:{server.server_address[1]}'
    try:
        (frame,) = frames(f'{root}/a%20b.png?x=1', tmp_path / 'out')
        assert (frame.image == image).all()
        assert frame.name == 'a b.png'
        assert len(list(frames(f'{root}/v.mp4', tmp_path / 'out'))) == 5
        assert not list((tmp_path / 'out').iterdir()), 'what was fetched is removed'
        with pytest.raises(InputError, match='answers 404'):
            list(frames(f'{root}/gone.png', tmp_path / 'out'))
        with pytest.raises(InputError, match='cannot be fetched'):
            list(frames(f'{root}/short.png', tmp_path / 'out'))
    finally:
        server.shutdown()
        server.server_close()  # else the next one waits for an answer
    with pytest.raises(InputError, match='cannot be fetched'):
        list(frames(f'{root}/a.png', tmp_path / 'out'))


def test_a_detector_on_images_and_a_video(tiny, tmp_path):
    """Batches predict what single images do; bad ones cost themselves only; names stay apart."""
    config, weights = tiny['det']
    picture = next(project().rglob('val/sample/*.png'))
    for folder, size in (('x', (64, 48)), ('y', (64, 48)), ('z', (48, 64))):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / 'v.png'), cv2.resize(cv2.imread(str(picture)), size))
    (tmp_path / 'x/text.png').write_text('no image')
    given = [tmp_path / 'x', film(tmp_path / 'v.mp4'), tmp_path / 'y', tmp_path / 'z']
    single, batch = (
        predict(
            config, given, weights, tmp_path / f'out{size}', 0, 'cpu',
            {'test_dataloader.batch_size': size}, ('csv', 'yolo', 'coco'),
        )
        for size in (1, 3)
    )  # fmt: skip
    assert [Path(file).name for file, _ in single.failed] == ['text.png']
    assert [path.name for path in single.pictures] == ['v.png', 'v_2.png', 'v_3.png']
    assert [path.name for path in single.videos] == ['v_1.mp4']
    assert cv2.VideoCapture(str(single.videos[0])).get(cv2.CAP_PROP_FRAME_COUNT) == 5
    entries = single.content['images']
    assert [entry.get('frame') for entry in entries] == [None, 0, 1, 2, 3, 4, None, None]
    assert len(entries[0]['detections']) == 20
    for one, other in zip(entries, batch.content['images'], strict=True):
        assert [d['category_id'] for d in one['detections']] == [d['category_id'] for d in other['detections']]
        boxes = [np.array([d['bbox'] for d in entry['detections']]) for entry in (one, other)]
        assert np.allclose(*boxes, atol=0.02)
    assert len(list((tmp_path / 'out1/yolo').rglob('*.txt'))) == 8
    with open(tmp_path / 'out1/predictions.csv', newline='') as file:
        assert len(list(csv.reader(file))) == 1 + 8 * 20


def test_a_segmentor_on_a_video(tiny, tmp_path):
    config, weights = tiny['seg']
    result = predict(config, film(tmp_path / 'v.mp4', 2), weights, tmp_path / 'out', formats=('csv', 'masks'))
    assert [entry['labels'] for entry in result.content['images']] == ['labels/v/000000.png', 'labels/v/000001.png']
    assert cv2.imread(str(tmp_path / 'out/labels/v/000001.png'), cv2.IMREAD_UNCHANGED).shape == (48, 64)
    header, *rows = (tmp_path / 'out/predictions.csv').read_text().splitlines()
    assert header == 'file,frame,category,share'
    assert sum(float(row.rsplit(',', 1)[1]) for row in rows) == pytest.approx(2, abs=1e-3)
    with pytest.raises(InputError, match=r'holds boxes, but .* is a segmentor'):
        predict(config, tmp_path / 'v.mp4', weights, tmp_path / 'out', formats=('yolo',))


def test_exports_of_a_perfect_detector(tmp_path):
    """Its COCO results score AP 1 against the annotations, its YOLO lines and masks give the boxes back."""
    cfg = load_config(project() / 'det.py')
    root = project() / 'data'
    truth = COCO(str(root / 'annotations/instances_val.json'))
    entries = []
    for key, image in truth.imgs.items():
        found = [one for one in truth.imgToAnns[key] if not one['iscrowd']]
        names = [truth.cats[one['category_id']]['name'] for one in found]
        entries.append({
            'file': str(root / 'leftImg8bit/val' / image['file_name']),
            'picture': f'pictures/{key}.png', 'width': image['width'], 'height': image['height'],
            'detections': [
                {'bbox': one['bbox'], 'score': 0.9, 'category': name, 'category_id': one['category_id']}
                for one, name in zip(found, names, strict=True)
            ],
        })  # fmt: skip
    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 2:5] = 1
    rle = encode(np.asfortranarray(mask))
    entries[0]['detections'][0]['segmentation'] = {**rle, 'counts': rle['counts'].decode()}
    export(('coco', 'csv', 'yolo', 'masks'), {'classes': list(cfg.classes), 'images': entries}, tmp_path, cfg)
    score = COCOeval(truth, truth.loadRes(str(tmp_path / 'coco_results.json')), 'bbox')
    score.evaluate()
    score.accumulate()
    score.summarize()
    assert score.stats[0] == pytest.approx(1)
    for entry in entries:
        lines = (tmp_path / 'yolo' / f'{Path(entry["picture"]).stem}.txt').read_text().splitlines()
        for line, one in zip(lines, entry['detections'], strict=True):
            number, x, y, width, height, _ = map(float, line.split())
            assert cfg.classes[int(number)] == one['category']
            corner = (x - width / 2) * entry['width'], (y - height / 2) * entry['height']
            assert [*corner, width * entry['width'], height * entry['height']] == pytest.approx(one['bbox'], abs=1e-3)
    (file,) = (tmp_path / 'masks').iterdir()
    assert np.array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), mask * 255)


def test_category_ids_are_those_of_the_annotations(tiny, tmp_path):
    """Which begin where the data's author wanted; without the file they are the classes' numbers."""
    config, weights = tiny['det']
    cfg = load_config(config)
    file = Path(cfg.test_dataloader.dataset.data_root, cfg.test_dataloader.dataset.ann_file)
    data = json.loads(file.read_text())
    for category in data['categories']:
        category['id'] = 7 + 5 * category['id']
    cfg.test_dataloader.dataset.update(data_root='', ann_file=str(tmp_path / 'own.json'))
    image = next((project() / 'data/leftImg8bit/val').rglob('*.png'))
    for there in (False, True):
        found = predict(cfg, image, weights, tmp_path / f'out{there}', 0.0).content['images'][0]['detections']
        assert found
        names = {entry['name']: entry['id'] for entry in data['categories']}
        own = names if there else {name: i for i, name in enumerate(cfg.classes)}
        assert all(one['category_id'] == own[one['category']] for one in found)
        (tmp_path / 'own.json').write_text(json.dumps(data))


def test_images_that_the_annotations_do_not_list_get_ids_of_their_own(tmp_path):
    cfg = load_config(project() / 'det.py')
    box = {'bbox': [0, 0, 1, 1], 'score': 1.0, 'category': 'car', 'category_id': 2}
    content = {'images': [{'file': 'v.mp4', 'frame': k, 'video': 'videos/v.mp4', 'detections': [box]} for k in (0, 1)]}
    export(('coco',), content, tmp_path, cfg)
    listed = COCO(str(project() / 'data/annotations/instances_val.json')).imgs.keys()
    found = [one['image_id'] for one in json.loads((tmp_path / 'coco_results.json').read_text())]
    assert len(set(found) - listed) == 2


def test_what_cannot_fit_is_refused_before_it_is_decoded(tiny, tmp_path, capsys):
    bomb(tmp_path / 'bomb.png', 30_000, 30_000)
    arguments = [tiny['det'][0], str(tmp_path), '--weights', tiny['det'][1], '--out', f'{tmp_path}-out']
    assert main(['predict', *arguments]) == 2
    assert 'bomb.png: Image size (900000000 pixels) exceeds limit' in capsys.readouterr().err
    assert main(['flops', tiny['det'][0], '--shape', '20000', '20000']) == 2
    assert 'shape: 20000 x 20000 pixels; allowed are 16777216 in all' in capsys.readouterr().err
    for bad, message in ((['--batch-size', '0'], '--batch-size'), (['--format', 'xml'], 'allowed are coco, csv, yolo')):
        assert main(['predict', *arguments, *bad]) == 2
        assert message in capsys.readouterr().err


def test_large_pictures_are_drawn_smaller(monkeypatch):
    monkeypatch.setattr(module, 'LARGEST_PICTURE', 48 * 64 // 4)
    sample = module.BaseDataElement()
    masks = torch.zeros(1, 48, 64, dtype=torch.bool)
    masks[0, 20:40, 10:30] = True
    sample.pred_instances = InstanceData(bboxes=torch.tensor([[10.0, 20.0, 30.0, 40.0]]), masks=masks)
    image, shown = module._drawable(np.zeros((48, 64, 3), np.uint8), sample)
    assert image.shape == (24, 32, 3)
    assert shown.pred_instances.bboxes.tolist() == [[5, 10, 15, 20]]
    assert shown.pred_instances.masks[0, 10:20, 5:15].all()
    assert shown.pred_instances.masks.sum() == 100
    assert sample.pred_instances.bboxes.tolist() == [[10, 20, 30, 40]], 'what is written stays'


def test_weights_of_nan_are_refused(tmp_path):
    cfg = load_config('bisenet_xception39_sample')
    model, _ = build_model(cfg, None)
    next(model.parameters()).data[0] = float('nan')
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'nan.pth')
    with pytest.raises(InputError, match=r'nan.pth: 1 tensors hold NaN or infinite values, \S+ is the first'):
        build_model(cfg, tmp_path / 'nan.pth')
