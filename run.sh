#!/bin/sh
# Pretrains a biLM on the sample corpus in data/. CUDA_VISIBLE_DEVICES chooses the cards, one
# process a card; without a GPU small sizes come first. Options are appended: sh run.sh --max_epoch 3
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python}

gpus=$("$python" -c 'from bilm.hardware import count_gpus; print(count_gpus())')

set -- \
    --train_path 'data/train/sentence_file_*' \
    --test_path 'data/dev/sentence_file_*' \
    --vocab_path data/vocabulary.txt \
    --learning_rate 0.2 \
    "$@"

if [ "$gpus" -gt 1 ]; then
    exec "$python" -m paddle.distributed.launch --nproc_per_node "$gpus" \
        tools/pretrain.py --use_gpu True "$@"
elif [ "$gpus" -eq 1 ]; then
    exec "$python" -m bilm.train --use_gpu True "$@"
fi
echo "run.sh: no GPU is visible: training a small model on the CPU"
exec "$python" -m bilm.train \
    --hidden_size 256 --embed_size 64 --batch_size 16 --log_interval 5 --dev_interval 100 "$@"
