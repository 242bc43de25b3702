#!/usr/bin/env bash
# From a fresh machine to a trained network: sets up the environment, draws the sample data set, trains, evaluates (as
# COCO does, or by mean IoU), draws predictions and writes a summary.
#
#   bash tools/quickstart.sh [--task det|seg|all] [--data DIR] [--epochs N] [--device cpu|cuda|cuda:N] [--work-dir DIR]
#
# --task      det: ThunderNet-SNet49, a detector (default); seg: BiSeNet-Xception39, a segmentor; all: one after the other
# --data      where the sample data set is (drawn there if DIR is new or empty; default data/sample), or, for det, a COCO
#             data set of your own (what `mmlight train --data` takes)
# --epochs    instead of the config's
# --device    default: a GPU if there is one
# --work-dir  default work_dirs/quickstart, for data of your own work_dirs/quickstart_NAME; segmentation goes to its
#             folder seg/
#
# A second call goes on where the first was stopped, and changes nothing once it is finished.
set -euo pipefail

fail() { printf 'error: %s\n' "$*" >&2; exit 2; }
say() { printf '\n[quickstart] %s\n' "$*"; }
usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"; }
absolute() { case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s\n' "$PWD/$1" ;; esac; }

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
data=$repo/data/sample work_dir='' epochs='' device='' tasks=det
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
    --task | --data | --epochs | --device | --work-dir) [ $# -ge 2 ] || fail "$1: a value is missing" ;;
    *) fail "'$1' is not an option; allowed are --task T, --data DIR, --epochs N, --device D, --work-dir DIR" ;;
  esac
  case $1 in
    --task)
      case $2 in
        det | seg) tasks=$2 ;;
        all) tasks='det seg' ;;
        *) fail "--task '$2': allowed are det, seg and all" ;;
      esac
      ;;
    --data) data=$(absolute "$2") ;;
    --epochs) epochs=$2; [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "--epochs '$2': a whole number from 1 is needed" ;;
    --device) device=$2; [[ $2 =~ ^(cpu|cuda(:[0-9]+)?)$ ]] || fail "--device '$2': allowed are cpu, cuda and cuda:N" ;;
    --work-dir) work_dir=$(absolute "$2") ;;
  esac
  shift 2
done

if [ "$tasks" != det ] && [ -n "$(ls -A "$data" 2>/dev/null)" ] && [ ! -e "$data/sample.json" ]; then
  fail "--data $data: --task seg needs the sample data set, and this folder holds none (no sample.json)"
fi

cd "$repo"
python=$(bash tools/setup_env.sh)

if [ ! -e "$data" ] || [ -z "$(ls -A "$data")" ]; then
  say "sample data set: $data"
  "$python" tools/misc/make_sample.py --out "$data"
fi
name=quickstart
[ -e "$data/sample.json" ] || name+=_$(basename "$data")
: "${work_dir:=$repo/work_dirs/$name}"

run() {  # run det|seg: train, evaluate, draw
  local task=$1 dir=$work_dir config train report loader
  case $task in
    det)
      config=configs/thundernet/thundernet_snet49_sample.py
      train=(--data "$data")
      ;;
    seg)
      config=configs/bisenet/bisenet_xception39_sample.py dir+=/seg
      train=(--cfg-options)
      for loader in train val test; do train+=("${loader}_dataloader.dataset.data_root=$data"); done
      ;;
  esac
  report=("$python" tools/misc/quickstart_report.py "$config" --task "$task" --data "$data" --work-dir "$dir" \
    --epochs "$epochs")
  if "${report[@]}" --finished; then return; fi

  say "training ($task); stop it at any time, the same command goes on from the last epoch"
  "$python" tools/train.py "$config" --resume --no-report --work-dir "$dir" ${epochs:+--epochs "$epochs"} \
    ${device:+--device "$device"} "${train[@]}"

  say "evaluation and predictions ($task)"
  "${report[@]}" --device "$device"
}

for task in $tasks; do run "$task"; done
