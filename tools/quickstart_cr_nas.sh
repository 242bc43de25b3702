#!/usr/bin/env bash
# The whole of CR-NAS on a small data set, on a CPU in some minutes: trains a stage supernet, searches the allocation of
# eight blocks, trains an operation supernet of what was found, searches the dilations, and writes the config found.
#
#   bash tools/quickstart_cr_nas.sh [sample|bccd] [--work-dirs DIR] [--cfg-options KEY=VALUE ...]
#
# sample        the built-in data set, drawn to data/sample (default)
# bccd          blood cells; MMLIGHT_DATA names the folder that holds bccd/ (default ../shared/data)
# --work-dirs   folder for the four steps' folders (default work_dirs)
# --cfg-options of both trainings, such as train_cfg.max_epochs=2
#
# A second call goes on where the first was stopped, and evaluates nothing twice.
set -euo pipefail

fail() { printf 'error: %s\n' "$*" >&2; exit 2; }
say() { printf '\n[cr-nas] %s (%d s so far)\n' "$*" $SECONDS; }

cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=sample work=work_dirs options=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"; exit 0 ;;
    sample | bccd) data=$1; shift ;;
    --work-dirs) [ $# -ge 2 ] || fail "$1: a value is missing"; work=$2; shift 2 ;;
    --cfg-options) shift; options=("$@"); break ;;
    *) fail "'$1' is not an option; allowed are sample, bccd, --work-dirs DIR, --cfg-options KEY=VALUE ..." ;;
  esac
done
for option in ${options[@]+"${options[@]}"}; do
  case $option in *=*) ;; *) fail "--cfg-options: '$option' is not of the form KEY=VALUE" ;; esac
done
python=$(bash tools/setup_env.sh)

case $data in
  sample)
    annotations=data/sample/annotations split=$annotations num_val=60
    [ -e data/sample/sample.json ] || "$python" tools/misc/make_sample.py --out data/sample
    ;;
  bccd)
    annotations=${MMLIGHT_DATA:-../shared/data}/bccd/annotations split=data/bccd num_val=50
    [ -e "$annotations/instances_train.json" ] || fail "MMLIGHT_DATA: $annotations/instances_train.json does not exist"
    ;;
esac
if [ ! -e "$split/instances_archval.json" ]; then
  "$python" tools/dataset_converters/arch_split.py "$annotations/instances_train.json" --num-val $num_val --out "$split"
fi

configs=configs/cr_nas stage=$work/stage-search_r18-8blocks_$data op=$work/op-search_r18_$data
supernet=$work/stage-supernet_r18_$data op_supernet=$work/op-supernet_r18_$data
train() { "$python" tools/train.py "$@" --resume --no-report; }  # CONFIG, then options
last() { cat "$1/last_checkpoint"; }

say 'step 1: train the stage supernet'
train $configs/stage-supernet_r18_$data.py --work-dir "$supernet" ${options[@]+--cfg-options "${options[@]}"}

say 'step 2: score every allocation of eight blocks'
train $configs/stage-search_r18-8blocks_$data.py --work-dir "$stage" --cfg-options load_from="$(last "$supernet")"

say 'step 3: train the operation supernet of the found allocation, from the weights that it has in the stage supernet'
train "$stage/best/op-supernet_r18_$data.py" --work-dir "$op_supernet" \
  --cfg-options load_from="$stage/best.pth" ${options[@]+"${options[@]}"}

say 'step 4: choose the dilations, block after block'
train "$stage/best/op-search_r18_$data.py" --work-dir "$op" --cfg-options load_from="$(last "$op_supernet")"

say 'done'
cat <<EOF
  reports:           $stage/report.md, $op/report.md
  train what it found: python tools/train.py $op/best/faster-rcnn_r18_$data.py
  only the allocation: python tools/train.py $stage/best/faster-rcnn_r18_$data.py
  all allocations:     python tools/analysis_tools/rank_allocations.py $stage faster-rcnn_r18_$data --op-search $op
EOF
