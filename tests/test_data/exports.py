"""One data set as labelling tools write it, by their own libraries or by their documented formats."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 80, 60
NAMES = ['wasp', 'bee']  # not in the order of the alphabet
VAL = ('i0', 'i5')
TRUTH = {  # image -> (class, x1, y1, x2, y2); each fifth has both classes
    f'i{n}': [(n % 2, 10 + n, 12, 40 + n, 36), *([(1 - n % 2, 44, 6, 72, 54)] if n in (0, 3, 5) else [])]
    for n in range(10)
}
TRAIN = tuple(name for name in TRUTH if name not in VAL)
SPLITS = {'train': TRAIN, 'val': VAL}


def pictures(folder: Path, names: Iterable[str] = TRUTH) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 20 * int(name[1:]), np.uint8)).save(folder / f'{name}.jpg')
    return folder


def coco(
    file: Path, names: Iterable[str] = TRUTH, prefix: str = '', first: int = 1, ids: tuple[int, int] = (1, 2), **extra
) -> None:
    """``first``: the first id of images and annotations; ``ids``: of the classes; ``extra``: fields of annotations."""
    images, annotations = [], []
    for number, name in enumerate(names, first):
        images.append(dict(id=number, file_name=f'{prefix}{name}.jpg', width=WIDTH, height=HEIGHT))
        for label, x1, y1, x2, y2 in TRUTH[name]:
            w, h = x2 - x1, y2 - y1
            entry = dict(id=len(annotations) + first, image_id=number, category_id=ids[label], bbox=[x1, y1, w, h])
            annotations.append(entry | dict(area=w * h, iscrowd=0, segmentation=[]) | extra)
    categories = [dict(id=number, name=name, supercategory='') for number, name in zip(ids, NAMES, strict=True)]
    data = dict(info={}, licenses=[], images=images, categories=categories, annotations=annotations)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data), encoding='utf-8')


def edited(file: Path, change: Callable[[dict], object]) -> None:
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def xml(folder: Path, names: Iterable[str] = TRUTH) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        objects = ''.join(
            f'<object><name>{NAMES[label]}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax>'
            f'<ymax>{y2}</ymax></bndbox></object>'
            for label, x1, y1, x2, y2 in TRUTH[name]
        )
        (folder / f'{name}.xml').write_text(f'<annotation><filename>{name}.jpg</filename>{objects}</annotation>')


def yolo(folder: Path, names: Iterable[str] = TRUTH) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        rows = [
            f'{label} {(x1 + x2) / 2 / WIDTH} {(y1 + y2) / 2 / HEIGHT} {(x2 - x1) / WIDTH} {(y2 - y1) / HEIGHT}\n'
            for label, x1, y1, x2, y2 in TRUTH[name]
        ]
        (folder / f'{name}.txt').write_text(''.join(rows))


def cvat(root: Path) -> None:
    """COCO 1.0 of a task: one subset, "default"."""
    pictures(root / 'images/default')
    coco(root / 'annotations/instances_default.json', attributes={'occluded': False})


def cvat_subsets(root: Path) -> None:
    for subset, names in (('Train', TRAIN), ('Validation', VAL)):
        pictures(root / 'images' / subset, names)
        coco(root / f'annotations/instances_{subset}.json', names)


def cvat_one_subset(root: Path) -> None:
    pictures(root / 'images/Train')
    coco(root / 'annotations/instances_Train.json')


def cvat_voc(root: Path) -> None:
    pictures(root / 'JPEGImages')
    xml(root / 'Annotations')
    (root / 'ImageSets/Main').mkdir(parents=True)
    (root / 'ImageSets/Main/default.txt').write_text(''.join(f'{name}\n' for name in TRUTH))
    (root / 'labelmap.txt').write_text('# label:color_rgb:parts:actions\nbackground:0,0,0::\nwasp:1,1,1::\nbee::: \n')


def cvat_yolo(root: Path) -> None:
    pictures(root / 'obj_train_data')
    yolo(root / 'obj_train_data')
    (root / 'obj.names').write_text(''.join(f'{name}\n' for name in NAMES))
    (root / 'obj.data').write_text('classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n')
    (root / 'train.txt').write_text(''.join(f'data/obj_train_data/{name}.jpg\n' for name in TRUTH))


def label_studio(root: Path) -> None:
    """Ids from 0; file names with the folder, of Windows here."""
    pictures(root / 'images')
    coco(root / 'result.json', prefix='images\\', first=0, ids=(0, 1), ignore=0)


def label_studio_yolo(root: Path) -> None:
    pictures(root / 'images')
    yolo(root / 'labels')
    (root / 'classes.txt').write_text(''.join(f'{name}\n' for name in NAMES))
    (root / 'notes.json').write_text(json.dumps({'categories': [{'id': 0, 'name': 'wasp'}], 'info': {}}))


def label_studio_voc(root: Path) -> None:
    pictures(root / 'images')
    xml(root / 'Annotations')


def roboflow(root: Path) -> None:
    """Id 0 is the project's, the parent of the classes."""
    for folder, names in (('train', TRAIN), ('valid', VAL)):
        file = pictures(root / folder, names) / '_annotations.coco.json'
        coco(file, names, first=0)
        parent = {'id': 0, 'name': 'insects', 'supercategory': 'none'}
        edited(file, lambda data: [one.update(supercategory='insects') for one in data['categories']])
        edited(file, lambda data, parent=parent: data['categories'].insert(0, parent))


def roboflow_train_only(root: Path) -> None:
    coco(pictures(root / 'train') / '_annotations.coco.json', first=0)


def labelme(root: Path) -> None:
    """``examples/instance_segmentation/labelme2coco.py`` of labelme, whose first class is the background."""
    pictures(root / 'JPEGImages')
    coco(root / 'annotations.json', prefix='JPEGImages/', first=0)
    edited(root / 'annotations.json', lambda data: data['categories'].insert(0, dict(id=0, name='_background_')))
    edited(root / 'annotations.json', lambda data: data.update(type='instances'))


def labelme2coco_elsewhere(root: Path) -> None:
    """Names as on the machine where labelme2coco ran."""
    pictures(root / 'photos')
    coco(root / 'dataset.json', prefix='/home/someone/labelme/photos/', ids=(0, 1))


def coco_annotator(root: Path) -> None:
    """``iscrowd`` is false; ``path`` is that of the server."""
    pictures(root)
    coco(root / 'insects-3.json', ids=(7, 4), iscrowd=False, isbbox=True, color='#ee1e6d', metadata={})
    edited(
        root / 'insects-3.json',
        lambda data: [
            one.update(path=f'/datasets/insects/{one["file_name"]}', deleted=False) for one in data['images']
        ],
    )


def fiftyone(root: Path) -> None:
    pictures(root / 'data')
    coco(root / 'labels.json')


def fiftyone_splits(root: Path) -> None:
    for split, names in SPLITS.items():
        pictures(root / split / 'data', names)
        coco(root / split / 'labels.json', names)


def fiftyone_voc(root: Path) -> None:
    pictures(root / 'data')
    xml(root / 'labels')


def fiftyone_yolo(root: Path) -> None:
    for split, names in SPLITS.items():
        pictures(root / 'images' / split, names)
        yolo(root / 'labels' / split, names)
    text = 'names:\n  0: wasp\n  1: bee\npath: /home/me/x\ntrain: ./images/train/\nval: ./images/val/\n'
    (root / 'dataset.yaml').write_text(text)


def labelimg(root: Path) -> None:
    xml(pictures(root))


def voc_split_folders(root: Path) -> None:
    for split, names in SPLITS.items():
        pictures(root / split / 'images', names)
        xml(root / split / 'annotations', names)


DOCUMENTED = {
    'CVAT COCO': cvat,
    'CVAT COCO, subsets': cvat_subsets,
    'CVAT COCO, one subset': cvat_one_subset,
    'CVAT Pascal VOC': cvat_voc,
    'CVAT YOLO': cvat_yolo,
    'Label Studio COCO': label_studio,
    'Label Studio YOLO': label_studio_yolo,
    'Label Studio Pascal VOC': label_studio_voc,
    'Roboflow COCO': roboflow,
    'Roboflow COCO, train alone': roboflow_train_only,
    'labelme': labelme,
    'labelme2coco, moved': labelme2coco_elsewhere,
    'COCO-Annotator': coco_annotator,
    'FiftyOne COCO': fiftyone,
    'FiftyOne COCO, splits': fiftyone_splits,
    'FiftyOne VOC': fiftyone_voc,
    'FiftyOne YOLO': fiftyone_yolo,
    'labelImg': labelimg,
    'Pascal VOC in folders of splits': voc_split_folders,
}


def by_supervision(kind: str, root: Path) -> None:
    """``DetectionDataset.as_coco``, ``as_yolo``, ``as_pascal_voc`` to folders as its documentation has them."""
    import supervision as sv

    source = pictures(root.with_name('source'))
    for split, names in SPLITS.items():
        found = {
            str(source / f'{name}.jpg'): sv.Detections(
                xyxy=np.array([box for _, *box in TRUTH[name]], float),
                class_id=np.array([label for label, *_ in TRUTH[name]]),
            )
            for name in names
        }
        data = sv.DetectionDataset(classes=NAMES, images=list(found), annotations=found)
        images = str(root / split / 'images')
        if kind == 'coco':
            data.as_coco(images_directory_path=images, annotations_path=str(root / split / 'annotations.json'))
        elif kind == 'yolo':
            data.as_yolo(images, str(root / split / 'labels'), data_yaml_path=str(root / 'data.yaml'))
        else:
            data.as_pascal_voc(images, str(root / split / 'annotations'))


def by_datumaro(kind: str, root: Path) -> None:
    import datumaro as dm

    source = pictures(root.with_name('source'))
    items = [
        dm.DatasetItem(
            id=name,
            subset=split,
            media=dm.components.media.Image.from_file(path=str(source / f'{name}.jpg')),
            annotations=[
                dm.Bbox(x1, y1, x2 - x1, y2 - y1, label=label, id=number, group=number)
                for number, (label, x1, y1, x2, y2) in enumerate(TRUTH[name])
            ],
        )
        for split, names in SPLITS.items()
        for name in names
    ]
    dm.Dataset.from_iterable(items, categories=NAMES).export(str(root), kind, save_media=True)


def by_labelme2coco(kind: str, root: Path) -> None:
    """labelme's own files, converted: ``dataset.json``, or ``train.json`` and ``val.json`` by lot."""
    import labelme2coco

    pictures(root)
    for name, objects in TRUTH.items():
        shapes = [
            dict(label=NAMES[label], shape_type='rectangle', points=[[x1, y1], [x2, y2]])
            for label, x1, y1, x2, y2 in objects
        ]
        content = dict(imagePath=f'{name}.jpg', imageWidth=WIDTH, imageHeight=HEIGHT, shapes=shapes)
        (root / f'{name}.json').write_text(json.dumps(content))
    labelme2coco.convert(str(root), str(root / 'annotations'), train_split_rate=0.8 if kind == 'split' else 1)


def by_label_studio(kind: str, root: Path) -> None:
    """The converter that the server's export runs; it copies uploaded images into ``images/``."""
    from label_studio_sdk.converter import Converter

    uploads = pictures(root.with_name('source') / 'upload/1').parents[1]
    tasks = []
    for number, (name, objects) in enumerate(TRUTH.items(), 1):
        result = [
            dict(
                id=f'r{index}', from_name='label', to_name='image', type='rectanglelabels',
                original_width=WIDTH, original_height=HEIGHT, image_rotation=0,
                value=dict(x=100 * x1 / WIDTH, y=100 * y1 / HEIGHT, width=100 * (x2 - x1) / WIDTH,
                           height=100 * (y2 - y1) / HEIGHT, rotation=0, rectanglelabels=[NAMES[label]]),
            )
            for index, (label, x1, y1, x2, y2) in enumerate(objects)
        ]  # fmt: skip
        annotation = dict(id=number, completed_by=1, result=result, was_cancelled=False)
        tasks.append(dict(id=number, data={'image': f'/data/upload/1/{name}.jpg'}, annotations=[annotation]))
    file = uploads / 'tasks.json'
    file.write_text(json.dumps(tasks))
    labels = ''.join(f'<Label value="{name}"/>' for name in NAMES)
    config = f'<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">{labels}'
    converter = Converter(
        config + '</RectangleLabels></View>', str(uploads), upload_dir=str(uploads / 'upload'), download_resources=True
    )
    getattr(converter, f'convert_to_{kind}')(str(file), str(root), is_dir=False)


BY_LIBRARY = {
    **{f'supervision {kind}': ('supervision', by_supervision, kind) for kind in ('coco', 'yolo', 'voc')},
    **{
        f'datumaro {kind}': ('datumaro', by_datumaro, kind)
        for kind in ('coco', 'coco_instances', 'voc', 'voc_detection', 'yolo', 'yolo_ultralytics')
    },
    **{f'labelme2coco {kind}': ('labelme2coco', by_labelme2coco, kind) for kind in ('one file', 'split')},
    **{f'label-studio-sdk {kind}': ('label_studio_sdk', by_label_studio, kind) for kind in ('coco', 'voc', 'yolo')},
}
"""Test -> (package, writer, its first argument)."""
