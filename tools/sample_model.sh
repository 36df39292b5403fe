#!/bin/sh
# Trains the models in data/models/ anew: sh tools/sample_model.sh WORK, a folder that it makes. It
# needs the statutes, $BILM_DATA_DIR/laws/laws.txt (data/models/README.md names their source), and
# about half an hour on two cores. WORK/bilm and WORK/lac are what data/models/ holds.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
laws=$(cd "${BILM_DATA_DIR:?it must name the folder with laws/laws.txt}" && pwd)/laws/laws.txt
[ -f "$laws" ] || { echo "error: no such file: $laws"; exit 2; }
mkdir "${1:?name a new folder to work in}"
cd "$1"

# text: the statutes, everyday sentences, the sample corpus
bilm segment "$laws" --output laws
bilm segment "$top/data/raw/everyday.txt" --output everyday --split_newlines
bilm segment "$top/data/raw/everyday_dev.txt" --output everyday_dev --split_newlines
mkdir own weighted mixed tagged
cat everyday/sentence_file_* "$top"/data/train/sentence_file_* > own/text
cp everyday/segmentation.json own/

# vocabulary: our own text counts fifty times, so that statutes do not crowd out everyday words
for number in $(seq 50); do ln own/text "weighted/own_$number"; done
for number in $(seq 20); do ln own/text "mixed/own_$number"; done
ln laws/sentence_file_* weighted/
ln laws/sentence_file_* mixed/
bilm vocab 'weighted/*' --output vocabulary.txt --max_size 10000

# the biLM: everything once, then our own text
set -- --vocab_path vocabulary.txt --test_path 'everyday_dev/*' --hidden_size 256 --embed_size 64 \
    --shuffle
bilm pretrain "$@" --train_path 'mixed/*' --max_epoch 1 --batch_size 64 --sample_softmax \
    --n_negative_samples_batch 1024 --para_save_dir general
bilm pretrain "$@" --train_path own/text --max_epoch 10 --batch_size 32 --dropout 0.3 \
    --load_pretraining_params general --para_save_dir run
bilm convert run bilm/sample --to bilm --dtype float16 --weights_only
bilm evaluate --model bilm/sample --data 'everyday_dev/*' --json perplexity.json

# the tagger: silver labels of everyday sentences three times, and 280 hand labels ten times; sixty
# others decide when to stop
lac label 'laws/sentence_file_*' --max_sentences 3000 --output tagged/laws.tsv
lac label 'everyday/sentence_file_*' --output tagged/everyday_1.tsv
for number in 2 3; do ln tagged/everyday_1.tsv "tagged/everyday_$number.tsv"; done
head -n 280 "$top/data/lac/train.tsv" > hand.tsv
tail -n 60 "$top/data/lac/train.tsv" > hand_dev.tsv
for number in $(seq 10); do ln hand.tsv "tagged/hand_$number.tsv"; done
lac train --train_path 'tagged/*' --dev_path hand_dev.tsv --elmo bilm/sample --save_dir tagger \
    --pieces words --label_dict_path "$top/data/lac/tags.txt" --word_embedding_size 32 --gru_size 64 \
    --char_features --character_size 48 --min_word_count 20 --dropout 0.4 --max_epochs 6 --patience 2
python -c "from lac import LAC; LAC('tagger').save_pretrained('lac/sample', dtype='float16')"
lac evaluate --model lac/sample --data "$top/data/lac/dev.tsv" --json scores.json
