"""The training recipe of every flagship config is its source's: rates, decay, schedule, averaging and losses.

The expected values are rows of ``recipes.yml``, each with the section of ``docs/specs/recipes.md`` that it is from. A
new recipe is a new row.
"""

import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build

ROOT = Path(__file__).parents[1]
RECIPES = yaml.safe_load((Path(__file__).parent / 'recipes.yml').read_text())
every_recipe = pytest.mark.parametrize('name', RECIPES)


@pytest.fixture(scope='module')
def made():
    """made(name): the config and its network, made once."""
    known = {}

    def get(name: str) -> tuple[Config, nn.Module]:
        if name not in known:
            cfg = load_config(ROOT / 'configs' / f'{name}.py')
            known[name] = cfg, build(cfg)
        return known[name]

    return get


def fits(selector: str, name: str, norms: set[str]) -> bool:
    """Whether a parameter is of a group: each word is `norm`, `bias` (of no norm), `rest`, or part of the name."""
    norm = name.rpartition('.')[0] in norms
    known = {'norm': norm, 'bias': name.endswith('.bias') and not norm, 'rest': True}
    return all(known[word] if word in known else re.search(word, name) for word in selector.split())


@every_recipe
def test_parameter_groups(name, made):
    """Each trainable parameter has the rate and decay of the first group that it fits; no group is empty."""
    cfg, network = made(name)
    optimizer = build_optim_wrapper(network, cfg.optim_wrapper).optimizer
    expected = RECIPES[name]['groups']
    found = {id(p): (group['lr'], group['weight_decay']) for group in optimizer.param_groups for p in group['params']}
    norms = {key for key, module in network.named_modules() if isinstance(module, (_NormBase, nn.GroupNorm))}
    used, wrong = set(), {}
    for key, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        selector = next(selector for selector in expected if fits(selector, key, norms))
        used.add(selector)
        if found.get(id(parameter)) != pytest.approx(expected[selector]):
            wrong[key] = selector, found.get(id(parameter))
    assert wrong == {}
    assert used == set(expected)


WITHOUT = yaml.safe_load((Path(__file__).parent / 'recipes_without_row.yml').read_text())
PUBLIC = re.compile('(?<!tiny-)coco|cityscapes|voc|camvid-720')  # data sets on which somebody published something


def training(cfg: Config) -> str:
    """The parts of a recipe but its length: optimizer, groups, clipping, kinds of schedule."""
    wrapper = cfg.get('optim_wrapper') or {}
    lengths = ('begin', 'end', 'milestones', 'T_max')
    schedule = [{k: v for k, v in row.items() if k not in lengths} for row in cfg.get('param_scheduler') or []]
    parts = [*map(wrapper.get, ('optimizer', 'paramwise_cfg', 'clip_grad')), schedule]
    return json.dumps(parts, sort_keys=True, default=str)


def test_every_config_of_a_public_data_set_trains_by_a_row():
    """Or is in the list of those that do not, with the reason; and that list has nothing more."""
    rows = {training(Config.fromfile(ROOT / 'configs' / f'{name}.py')) for name in RECIPES}
    files = sorted(path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts)
    names = [path.relative_to(ROOT / 'configs').with_suffix('').as_posix() for path in files]
    others = [
        name
        for name in names
        if PUBLIC.search(name) and training(Config.fromfile(ROOT / 'configs' / f'{name}.py')) not in rows
    ]
    named = {name for name in others if any(fnmatch(name, pattern) for pattern in WITHOUT)}
    assert sorted(set(others) - named) == []
    assert [pattern for pattern in WITHOUT if not any(fnmatch(name, pattern) for name in others)] == []


def optimizer_text(cfg: Config) -> str:
    settings = cfg.optim_wrapper.optimizer
    clip = (cfg.optim_wrapper.get('clip_grad') or {}).get('max_norm')
    nesterov = ', Nesterov' if settings.get('nesterov') else ''
    return f'{settings.type}, momentum {settings.momentum}{nesterov}, gradient norm {clip or "free"}'


def schedule_text(cfg: Config) -> str:
    """`warm-up 500 from 0.1; x0.1 at 187500, 281250; 375000 iterations`; an `e` marks epochs."""
    parts = []
    for row in cfg.param_scheduler:
        unit = 'e' if row.get('by_epoch', True) else ''
        if row.type == 'LinearLR':
            parts.append(f'warm-up {row.end}{unit} from {row.start_factor:.4g}')
        elif row.type == 'MultiStepLR':
            parts.append(f'x{row.gamma} at ' + ', '.join(f'{milestone}{unit}' for milestone in row.milestones))
        elif row.type == 'PolyLR':
            parts.append(f'poly {row.power} to {row.eta_min:g}')
        elif row.type == 'CosineAnnealingLR':
            parts.append(f'cosine to {row.eta_min:g} over {row.T_max}{unit}')
        else:
            parts.append(row.type)
    loop = cfg.train_cfg
    length = f'{loop.max_epochs} epochs' if 'max_epochs' in loop else f'{loop.max_iters} iterations'
    return '; '.join([*parts, length])


@every_recipe
def test_optimizer_and_schedule(name, made):
    cfg, _ = made(name)
    expected = RECIPES[name]
    assert optimizer_text(cfg) == expected['optimizer']
    assert schedule_text(cfg) == expected['schedule']
    assert cfg.auto_scale_lr.base_batch_size == expected['batch']


@every_recipe
def test_average_of_the_weights(name, made):
    """Share of the average that the update after so many steps keeps; no entry: none is kept."""
    cfg, _ = made(name)
    hooks = [hook for hook in cfg.get('custom_hooks', []) if hook.type == 'EMAHook']
    expected = RECIPES[name].get('ema', {})
    assert bool(hooks) == bool(expected)
    for steps, keeps in expected.items():
        options = {key: value for key, value in hooks[0].items() if key not in ('type', 'ema_type', 'priority')}
        source = nn.Linear(1, 1, bias=False)
        average = MODELS.build(dict(type=hooks[0].ema_type, model=source, **options))
        source.weight.data.fill_(0)
        average.module.weight.data.fill_(1)
        average.steps.fill_(steps)
        average.update_parameters(source)
        assert float(average.module.weight) == pytest.approx(keeps, abs=1e-5)


def losses(network: nn.Module) -> dict[str, str]:
    found = {}
    for name, module in network.named_modules():
        if hasattr(module, 'loss_weight') and not any(name.startswith(f'{above}.') for above in found):
            shape = [f'{key} {getattr(module, key):.4g}' for key in ('alpha', 'gamma', 'beta') if hasattr(module, key)]
            found[name] = ', '.join([f'{module.loss_weight:g} {type(module).__name__}', *shape])
    return found


@every_recipe
def test_losses(name, made):
    assert losses(made(name)[1]) == RECIPES[name]['losses']


@every_recipe
def test_the_source_is_in_the_repository(name):
    page, _, anchor = RECIPES[name]['source'].partition('#')
    headings = re.findall(r'^#+ (.+)$', (ROOT / page).read_text(), re.M)
    assert anchor in [re.sub(r'[^\w -]', '', heading).strip().lower().replace(' ', '-') for heading in headings]
