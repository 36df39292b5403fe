"""Classify sentences as positive or negative on top of ELMo, frozen or fine-tuned.

The program consists of this file and sentiment.py; classify_static.py is the same as a static
program. With the small sample model, only fine-tuning matches `--features words` (data/README.md).
"""

from collections import Counter
from pathlib import Path

import numpy as np
import paddle
from paddle.nn import functional as F
from sentiment import DATA, encode, last_layer, pool, read_sentences

from bilm import BiLM, ELMo, Vocabulary
from bilm.hardware import prepare_device
from bilm.program.json_output import stdout_for_report, write_report
from bilm.program.options import add_device_options, add_json_option
from bilm.program.parser import Parser
from bilm.program.running import run_main


def dynamic_classifier(options, vocabulary, rate):
    """Return two functions: a training step that returns the loss, and one that returns scores."""
    if options.features == "words":  # vectors trained from scratch
        encoder, features = paddle.nn.Embedding(len(vocabulary), 128), 128
    else:
        bilm = BiLM.from_pretrained(options.model)
        encoder = ELMo(bilm, dropout=0.0, trainable=options.finetune)
        features = bilm.config.num_directions * bilm.config.projection_size
    last = last_layer(features)
    optimizer = paddle.optimizer.Adam(rate, parameters=encoder.parameters() + last.parameters())

    def predict(token_ids, lengths):
        ids, lengths = paddle.to_tensor(token_ids), paddle.to_tensor(lengths)
        vectors = encoder(ids) if options.features == "words" else encoder(ids, lengths)[0]
        return last(pool(vectors, lengths))

    def train_step(token_ids, lengths, targets):
        loss = F.cross_entropy(predict(token_ids, lengths), paddle.to_tensor(targets))
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        return float(loss)

    return train_step, lambda *batch: predict(*batch).numpy()


def train_and_evaluate(options, classifier):
    """Train the model of `classifier`, see `dynamic_classifier`; return losses and accuracies."""
    train, dev = (read_sentences(Path(options.data) / f"{part}.tsv") for part in ("train", "dev"))
    counts = Counter(word for words, _ in train for word in words)
    vocabulary = (Vocabulary.from_counts(counts) if options.features == "words"
                  else Vocabulary.from_pretrained(options.model))
    data = encode(train + dev, vocabulary)  # all rows have the same length: see classify_static.py
    train_rows, dev_rows = np.split(np.arange(len(train) + len(dev)), [len(train)])

    def batches(rows, size=16):
        return [[array[rows[at : at + size]] for array in data] for at in range(0, len(rows), size)]

    num_steps = options.epochs * len(batches(train_rows))
    rate = paddle.optimizer.lr.PolynomialDecay(options.learning_rate, num_steps, end_lr=0.0)
    train_step, predict = classifier(options, vocabulary, rate)
    random, train_losses = np.random.default_rng(options.seed), []
    for epoch in range(options.epochs):
        losses = []
        for batch in batches(random.permutation(train_rows)):
            losses.append(train_step(*batch))
            rate.step()
        train_losses.append(float(np.mean(losses)))
        print(f"epoch {epoch + 1}: train loss {train_losses[-1]:.4f}", flush=True)
    hits = [predict(*batch[:2]).argmax(axis=1) == batch[2] for batch in batches(dev_rows)]
    majority = max(Counter(target for _, target in dev).values()) / len(dev)
    accuracy = float(np.concatenate(hits).mean())
    print(f"dev accuracy {accuracy:.4f}, of the majority class {majority:.4f}")
    return {"train_losses": train_losses, "majority": majority, "dev_accuracy": accuracy}


def common_parser(*description):
    """Return a parser with the options of both programs."""
    parser = Parser(*description)
    add = parser.group("model").add_argument
    add("--model", default="sample", metavar="PATH", help="a biLM with a vocabulary")
    add("--finetune", action="store_true", help="also train the biLM")
    add = parser.group("training").add_argument
    add("--data", default=DATA, metavar="DIR", help="train.tsv and dev.tsv: label, tab, sentence")
    add("--epochs", type=int, default=15, metavar="N", help="passes over the training sentences")
    add("--learning_rate", type=float, metavar="X",
        help="initial value; falls to 0 (default: 0.03; --finetune: 0.003; words: 0.01)")
    add("--seed", type=int, default=0, metavar="N", help="determines the order of the sentences")
    add_device_options(parser)
    add_json_option(parser)
    return parser


def build_parser():
    """Return the parser of this program."""
    parser = common_parser("python examples/classify.py", __doc__, [
        "python examples/classify.py --model sample --finetune"])
    parser.group("model").add_argument("--features", choices=("elmo", "words"), default="elmo",
                                       help="words: vectors trained from scratch, without ELMo")
    return parser


def main(arguments=None, parser=None, classifier=dynamic_classifier):
    """Run the program."""
    options = (parser or build_parser()).parse_args(arguments)
    if options.learning_rate is None:
        frozen = {"elmo": 0.03, "words": 0.01}[options.features]
        options.learning_rate = 0.003 if options.finetune else frozen
    prepare_device(options.use_gpu, options.threads)
    paddle.seed(options.seed)
    with stdout_for_report(options.json):
        figures = train_and_evaluate(options, classifier)
    write_report(options.json, figures)


if __name__ == "__main__":
    run_main(main)
