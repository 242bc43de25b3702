"""The commands that tell and show."""

from __future__ import annotations

import argparse

from mmlight.cli.shared import add_config
from mmlight.errors import InputError


def doctor_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        '--repair', action='store_true', help="write the start-up hook, by which mmdet's own tools get the patches"
    )


def doctor(args: argparse.Namespace) -> int:
    from mmlight.compat import doctor

    if args.repair:
        print('written:', *doctor.repair())
    text, code = doctor.diagnose()
    print(text)
    return code


def list_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('pattern', nargs='?', default='*', help="names to show, such as 'thundernet_snet49*'")
    sub.add_argument(
        '--measure', action='store_true', help='count parameters and multiply-adds now, beside the published'
    )
    sub.add_argument(
        '--shape', type=int, nargs='+', metavar='N', help='for --measure (default: that of the test pipeline)'
    )
    sub.add_argument('--json', action='store_true', help='print JSON')


def list_(args: argparse.Namespace) -> None:
    from mmlight.measure import model_list

    entries = model_list.list_models(args.pattern, args.measure, args.shape)
    print(model_list.to_json(entries) if args.json else model_list.table(entries))


def flops_arguments(sub: argparse.ArgumentParser) -> None:
    add_config(sub)
    sub.add_argument(
        '--shape', type=int, nargs='+', metavar='N', help='height and width (default: that of the test pipeline)'
    )


def flops(args: argparse.Namespace) -> None:
    from mmlight.measure import complexity
    from mmlight.runtime.config import load_config

    print(complexity.measure(load_config(args.config, args.cfg_options), args.shape).table())


def weights_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('action', choices=('list', 'get'))
    sub.add_argument('name', nargs='?', metavar='NAME', help="get: name in the list; list: pattern, such as '*lite*'")
    sub.add_argument('--from', dest='source', metavar='FILE', help="get: take the publisher's file from here")


def weights(args: argparse.Namespace) -> None:
    from mmlight.weights import catalogue, download

    if args.action == 'list':
        print(catalogue.table(args.name or '*'))
        return
    if args.name is None:
        raise InputError('weights get: give a NAME; `mmlight weights list` shows them')
    print(catalogue.find(args.name).credit())
    print(download.get(args.name, args.source))


def check_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('folder', metavar='DIR', help='COCO, Pascal VOC or YOLO data set, or images and masks')
    sub.add_argument('--out', metavar='PNG', help='draw a contact sheet of the training data')
    sub.add_argument('--fix', metavar='DIR', help='write a corrected copy to this new folder')


def check(args: argparse.Namespace) -> None:
    from mmlight.data.survey import survey

    print(survey(args.folder, args.out, args.fix))


def config_arguments(sub: argparse.ArgumentParser) -> None:
    add_config(sub)


def config(args: argparse.Namespace) -> None:
    from mmlight.runtime.config import load_config

    print(load_config(args.config, args.cfg_options, needs_model=False).pretty_text)


def sample_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('--out', metavar='DIR', required=True, help='folder to create')
    sub.add_argument('--seed', type=int, default=0, help='default 0')


def sample(args: argparse.Namespace) -> None:
    from mmlight.data import sample

    print(sample.generate(args.out, seed=args.seed))
