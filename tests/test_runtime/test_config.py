import importlib.util
from pathlib import Path

import pytest
from tiny_project import project

from mmlight.errors import InputError
from mmlight.runtime.config import load_config, shipped_configs
from mmlight.runtime.run import RunOptions, prepare


def stock_configs() -> list[Path]:
    """One config of each kind of detector and segmentor that the installed host libraries ship."""
    found = []
    for host in ('mmdet', 'mmseg'):
        spec = importlib.util.find_spec(host)
        if spec is not None:
            folder = Path(spec.origin).parent / '.mim' / 'configs'
            found += [sorted(f.glob('*_*xb*.py'))[0] for f in sorted(folder.iterdir())[::6] if any(f.glob('*_*xb*.py'))]
    return found


@pytest.mark.parametrize('path', stock_configs(), ids=lambda path: path.stem)
def test_stock_configs_pass_the_check(path):
    try:
        load_config(path)
    except InputError as error:
        if 'mmpretrain' not in str(error):  # not installed, and needed
            pytest.fail(str(error))


def test_shipped_names_are_unique_and_found():
    assert 'thundernet_snet49_sample' in shipped_configs()
    for name in list(shipped_configs())[:3]:
        assert load_config(name).filename == str(shipped_configs()[name])


def test_options_are_merged():
    cfg = load_config('thundernet_snet49_sample', {'train_cfg.max_epochs': 2, 'randomness.seed': 5})
    assert cfg.train_cfg.max_epochs == 2
    assert cfg.randomness.seed == 5


@pytest.mark.parametrize(
    'base',
    ['bisenet/bisenet_xception39_sample', 'efficientdet/efficientdet_d0_sample', 'nas/nas-fpn_shufflenet-v2_sample'],
)
def test_a_shipped_config_as_the_base_of_one_elsewhere(base, tmp_path):
    """`_base_ = 'mmlight::...'`: the base's types are mmdet's and mmseg's, not looked for in mmlight alone."""
    config = tmp_path / 'mine.py'
    config.write_text(f"_base_ = 'mmlight::{base}.py'\nmodel = dict(train_cfg=dict())\n")
    assert load_config(config).model.type == load_config(Path(base).name).model.type


def test_options_that_a_data_folder_would_override():
    """They are refused, whatever their depth; those that it leaves alone or agrees with are not."""
    data, head = project() / 'data', {'model.bbox_head.num_classes': 3}
    kept = {'train_dataloader.batch_size': 1, 'model.bbox_head.num_classes': 7}
    assert prepare(project() / 'det.py', RunOptions(cfg_options=kept, data=data)).train_dataloader.batch_size == 1
    for options in (head, {'val_dataloader': {'dataset': {'ann_file': 'mine.json'}}}):
        with pytest.raises(
            InputError, match=r'--cfg-options .*(num_classes=3|ann_file=mine.json): --data .* makes that'
        ):
            prepare(project() / 'det.py', RunOptions(cfg_options=options, data=data))
