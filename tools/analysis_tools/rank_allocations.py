"""Train allocations of a finished stage search alone and compare: Kendall's tau, and the found one against random ones.

python tools/analysis_tools/rank_allocations.py work_dirs/stage-search_r18-8blocks_bccd faster-rcnn_r18_bccd --seeds 0 1
"""

import mmlight  # isort: skip

import json
from pathlib import Path

from mmlight.arguments import Options, Parser
from mmlight.errors import InputError, exit_on_input_error


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dir', type=Path, help='of the stage search')
    parser.add_argument('config', help='detector to train, whose backbone takes stage_blocks')
    parser.add_argument('--out', type=Path, help='default WORK_DIR/alone; goes on with what is there')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='of the trainings (default 0)')
    parser.add_argument('--random', type=int, default=5, help='allocations to compare the found one with (default 5)')
    parser.add_argument('--limit', type=int, default=20, help='allocations to train at most (default 20)')
    parser.add_argument('--op-search', type=Path, metavar='DIR', help='also train with the dilations found there')
    parser.add_argument('--metric', default='coco/bbox_mAP', help='of the evaluation (default coco/bbox_mAP)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=Options, metavar='KEY=VALUE', help='config values to override'
    )
    args = parser.parse_args()
    from mmlight.nas.one_shot.ranking import StandAlone

    dilations = None
    if args.op_search is not None:
        best = args.op_search / 'best.json'
        if not best.is_file():
            raise InputError(f'--op-search {args.op_search}: holds no finished search (best.json)')
        dilations = json.loads(best.read_text())['path']
    out = args.out or args.work_dir / 'alone'
    ranking = StandAlone(
        args.work_dir, args.config, out, args.seeds, args.random, args.limit, args.metric, args.cfg_options, dilations
    )
    print(ranking.run(lambda line: print(line, flush=True)))


if __name__ == '__main__':
    exit_on_input_error(main)
