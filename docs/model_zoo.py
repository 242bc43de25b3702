"""Write docs/models.md from the metafiles and the catalogue of published weights: run `python docs/model_zoo.py`."""

from itertools import groupby
from pathlib import Path

from mmlight.measure.model_list import Entry, list_models
from mmlight.runtime.config import load_config, shipped_configs
from mmlight.weights.catalogue import Published, catalogue, for_config, unpublished

ROOT = Path(__file__).parents[1]
HEAD = """# Models

Written by `python docs/model_zoo.py` from the metafiles and `mmlight/weights/catalogue.yml`; not to be edited.

*Published* are the figures of papers and of their authors' pages, *measured* those of trainings in this project. No
figure of a paper was reproduced here. Weights belong to those who published them, under their licence;
`mmlight predict CONFIG photo.jpg` and `mmlight test CONFIG published` use those of a whole model. What differs from a
paper and why stands on the family's page. `mmlight list --measure` counts parameters and multiply-adds.
"""


def page() -> str:
    """The whole page."""
    entries = sorted(list_models(), key=lambda entry: (_family(entry), entry.name))
    parts = [HEAD]
    for folder, group in groupby(entries, _family):
        parts.append(f'\n## [{folder}](../configs/{folder}/README.md)\n')
        parts.append(
            '| config | published | measured here | begins with | weights of the whole model |\n|---|---|---|---|---|'
        )
        parts += [_row(entry) for entry in group]
    return '\n'.join([*parts, *_reasons(), *_weights()]) + '\n'


def _family(entry: Entry) -> str:
    return shipped_configs()[entry.name].relative_to((ROOT / 'configs').resolve()).parts[0]


def _row(entry: Entry) -> str:
    cells = [f'`{entry.name}`', _metrics(entry.published), _metrics(entry.measured), _initial(entry.name)]
    return f'| {" | ".join([*cells, _whole(for_config(entry.name))])} |'


def _metrics(results: dict[str, dict[str, float]]) -> str:
    rows = (
        f'{data}: {", ".join(f"{name} {value}" for name, value in found.items())}' for data, found in results.items()
    )
    return '<br>'.join(rows)


def _initial(name: str) -> str:
    files = sorted(set(_files(load_config(name, needs_model=False).get('model'))))
    return ', '.join(f'`{file}`' for file in files) or 'random weights'


def _files(node: object) -> list[str]:
    """The files in every ``init_cfg``."""
    if not isinstance(node, dict):
        return []
    init = node.get('init_cfg')
    own = [init['checkpoint'].removeprefix('mmlight://')] if isinstance(init, dict) and 'checkpoint' in init else []
    return own + [file for value in node.values() for file in _files(value)]


def _whole(found: Published | None) -> str:
    return f'`{found.name}`' if found else ''


def _reasons() -> list[str]:
    """Why configs of public data sets begin with random weights."""
    rows = ['\n## Random weights, and why\n', '| configs | reason |', '|---|---|']
    return rows + [
        f'| {", ".join(f"`{name}`" for name in row["configs"])} | {row["reason"]} |' for row in unpublished()
    ]


def _weights() -> list[str]:
    """The catalogue as a table."""
    rows = ['\n## Published weights\n', "Fetch one by `mmlight weights get NAME`; the figures are their publishers'.\n"]
    rows += ['| name | of | licence | trained on | published | for |', '|---|---|---|---|---|---|']
    for entry in catalogue().values():
        use = {'model': 'whole models', 'backbone': '`init_cfg`, fine-tuning'}.get(entry.use, entry.reason)
        cells = [
            f'`{entry.name}`',
            f'<{entry.project}>',
            entry.licence,
            entry.data,
            f'{entry.metric} ({entry.source})',
            use,
        ]
        rows.append(f'| {" | ".join(map(str, cells))} |')
    return rows


if __name__ == '__main__':
    (ROOT / 'docs' / 'models.md').write_text(page(), encoding='utf-8')
