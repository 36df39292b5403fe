#!/bin/sh
# Trains the models in data/models/ anew: sh tools/sample_model.sh WORK, a new folder. It needs the
# statutes in $BILM_DATA_DIR/laws/laws.txt (see data/models/README.md) and about an hour on two cores.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
laws=$BILM_DATA_DIR/laws/laws.txt
mkdir -p "$1"
cd "$1"

# text: the statutes, everyday sentences and the sample corpus
bilm segment "$laws" --output laws
bilm segment "$top/data/raw/everyday.txt" --output everyday --split_newlines
bilm segment "$top/data/raw/everyday_dev.txt" --output everyday_dev --split_newlines
mkdir own weighted mixed
cat everyday/sentence_file_* "$top"/data/train/sentence_file_* > own/text

# vocabulary: our own text counts fifty times, so that everyday words are not crowded out
for number in $(seq 50); do ln own/text "weighted/own_$number"; done
for number in $(seq 10); do ln own/text "mixed/own_$number"; done
ln laws/sentence_file_* weighted/
ln laws/sentence_file_* mixed/
bilm vocab 'weighted/*' --output vocabulary.txt --max_size 10000

# the biLM: everything first, then our own text
set -- --vocab_path vocabulary.txt --test_path 'everyday_dev/*' --hidden_size 256 --embed_size 64 \
    --batch_size 64 --shuffle --log_interval 200
bilm pretrain "$@" --train_path 'mixed/*' --max_epoch 2 --sample_softmax \
    --n_negative_samples_batch 1024 --dev_interval 1000 --para_save_dir general
