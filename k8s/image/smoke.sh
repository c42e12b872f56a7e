#!/bin/sh
# Does this image hold what its pods need, as the user and on the file system that they have?
set -eu
[ "$(id -u)" = 1000 ] || { echo "smoke: runs as uid $(id -u), not 1000" >&2; exit 1; }
if touch /opt/xtransfer/.write 2>/dev/null; then
    echo "smoke: /opt/xtransfer can be written to" >&2
    exit 1
fi
for program in ray bash wget; do
    command -v "$program" >/dev/null || { echo "smoke: no $program on the PATH" >&2; exit 1; }
done
# What settings ask for is among it: training.lora, search: tpe, tracking.mlflow.
python -c "import peft, optuna, mlflow.tracking"
python -c "import torch, deepspeed, transformers, ray, boto3; print('torch', torch.__version__, 'ray', ray.__version__)"
python -m ray_jobs.experiment /opt/xtransfer/configs/quickstart.yaml --store file:///tmp/store --dry-run >/dev/null
xtransfer --version
echo "smoke: all is there"
