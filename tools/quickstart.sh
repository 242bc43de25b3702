#!/usr/bin/env bash
# From a fresh machine to a trained detector: sets up the environment, draws the sample data set, trains
# ThunderNet-SNet49, evaluates it as COCO does, draws predictions and writes a summary.
#
#   bash tools/quickstart.sh [--data DIR] [--epochs N] [--device cpu|cuda|cuda:N] [--work-dir DIR]
#
# --data      where the sample data set is (drawn there if DIR is new or empty; default data/sample), or a COCO data
#             set of your own (what `mmlight train --data` takes)
# --epochs    instead of the config's
# --device    default: a GPU if there is one
# --work-dir  default work_dirs/quickstart, for data of your own work_dirs/quickstart_NAME
#
# A second call goes on where the first was stopped, and changes nothing once it is finished.
set -euo pipefail

CONFIG=configs/thundernet/thundernet_snet49_sample.py

fail() { printf 'error: %s\n' "$*" >&2; exit 2; }
say() { printf '\n[quickstart] %s\n' "$*"; }
usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"; }
absolute() { case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s\n' "$PWD/$1" ;; esac; }

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
data=$repo/data/sample work_dir='' epochs='' device=''
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
    --data | --epochs | --device | --work-dir) [ $# -ge 2 ] || fail "$1: a value is missing" ;;
    *) fail "'$1' is not an option; allowed are --data DIR, --epochs N, --device D, --work-dir DIR" ;;
  esac
  case $1 in
    --data) data=$(absolute "$2") ;;
    --epochs) epochs=$2; [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "--epochs '$2': a whole number from 1 is needed" ;;
    --device) device=$2; [[ $2 =~ ^(cpu|cuda(:[0-9]+)?)$ ]] || fail "--device '$2': allowed are cpu, cuda and cuda:N" ;;
    --work-dir) work_dir=$(absolute "$2") ;;
  esac
  shift 2
done

cd "$repo"
python=$(bash tools/setup_env.sh)

if [ ! -e "$data" ] || [ -z "$(ls -A "$data")" ]; then
  say "sample data set: $data"
  "$python" tools/misc/make_sample.py --out "$data"
fi
name=quickstart
[ -e "$data/sample.json" ] || name+=_$(basename "$data")
: "${work_dir:=$repo/work_dirs/$name}"

report=("$python" tools/misc/quickstart_report.py "$CONFIG" --data "$data" --work-dir "$work_dir" --epochs "$epochs")
if "${report[@]}" --finished; then exit 0; fi

say "training; stop it at any time, the same command goes on from the last epoch"
"$python" tools/train.py "$CONFIG" --resume --data "$data" --work-dir "$work_dir" \
  ${epochs:+--epochs "$epochs"} ${device:+--device "$device"}

say 'evaluation and predictions'
"${report[@]}" --device "$device"
