"""Classify sentences as positive or negative on top of ELMo, in dynamic mode or a static program.

BILM_KERNEL=native makes static programs several times as fast: see docs/performance.md.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import paddle
from paddle.nn import functional as F
from sentiment import DATA, Head, batches, encode, read_sentences

from bilm import BiLM, BiLMConfig, ELMo, Vocabulary, elmo_encoder, init_pretraining_params, tune_cpu
from bilm.cli import run_main
from bilm.options import new_parser


def dynamic_classifier(options, vocabulary, rate):
    """Return two functions: one takes a training step and returns the loss, one gives scores."""
    if options.features == "words":  # for comparison: vectors learned from nothing
        encoder = paddle.nn.Embedding(len(vocabulary), 128)
        head = Head(128)
    else:
        bilm = BiLM.from_pretrained(options.model)
        encoder = ELMo(bilm, dropout=0.0, trainable=options.finetune)
        head = Head(bilm.config.num_directions * bilm.config.projection_size)
    optimizer = paddle.optimizer.Adam(rate, parameters=encoder.parameters() + head.parameters())

    def predict(token_ids, lengths):
        token_ids, lengths = paddle.to_tensor(token_ids), paddle.to_tensor(lengths)
        is_elmo = options.features == "elmo"
        return head(encoder(token_ids, lengths)[0] if is_elmo else encoder(token_ids), lengths)

    def train_step(token_ids, lengths, targets):
        loss = F.cross_entropy(predict(token_ids, lengths), paddle.to_tensor(targets))
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        return float(loss)

    return train_step, lambda *batch: predict(*batch).numpy()


def static_classifier(options, rate):
    """Return the same two functions, of a static program."""
    paddle.enable_static()
    main, startup = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(main, startup):
        token_ids = paddle.static.data("token_ids", [None, None], "int64")
        lengths = paddle.static.data("lengths", [None], "int64")
        targets = paddle.static.data("targets", [None], "int64")
        config = BiLMConfig.from_pretrained(options.model)
        vectors = elmo_encoder(
            token_ids, lengths=lengths, config=config, dropout=0.0, trainable=options.finetune)
        scores = Head(config.num_directions * config.projection_size)(vectors, lengths)
        loss = F.cross_entropy(scores, targets)
        test_program = paddle.static.normalize_program(main, [token_ids, lengths], [scores])
        paddle.optimizer.Adam(rate).minimize(loss)
    executor = paddle.static.Executor(paddle.CPUPlace())
    executor.run(startup)
    init_pretraining_params(executor, options.model, main)

    def run(program, wanted, *batch):
        feed = dict(zip(("token_ids", "lengths", "targets"), batch))
        return executor.run(program, feed=feed, fetch_list=[wanted])[0]

    return (lambda *batch: float(run(main, loss, *batch)),
            lambda *batch: run(test_program, scores, *batch))


def main(arguments=None):
    """Train and evaluate as the command line says."""
    parser = new_parser(__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", default="sample", help="a biLM with a vocabulary")
    add("--features", choices=("elmo", "words"), default="elmo", help="words: without ELMo")
    add("--finetune", action="store_true", help="train the biLM, too")
    add("--static", action="store_true", help="build a static program, as in LARK")
    add("--data", default=DATA, metavar="DIR", help="train.tsv and dev.tsv: label, tab, sentence")
    add("--epochs", type=int, default=15, help="passes over the training sentences")
    add("--learning_rate", type=float, default=0.003, help="at the start; it falls to 0")
    add("--seed", type=int, default=0, help="decides the order of the sentences")
    add("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    if options.static and options.features == "words":
        parser.error("--static is for ELMo")
    tune_cpu()
    paddle.seed(options.seed)
    train, dev = (read_sentences(Path(options.data) / f"{part}.tsv") for part in ("train", "dev"))
    counts = Counter(word for words, _ in train for word in words)
    vocabulary = (Vocabulary.from_counts(counts) if options.features == "words"
                  else Vocabulary.from_pretrained(options.model))
    data = encode(train + dev, vocabulary)
    train_rows, dev_rows = np.split(np.arange(len(train) + len(dev)), [len(train)])
    num_steps = options.epochs * len([*batches(data, train_rows)])
    rate = paddle.optimizer.lr.PolynomialDecay(options.learning_rate, num_steps, end_lr=0.0)
    train_step, predict = (static_classifier(options, rate) if options.static
                           else dynamic_classifier(options, vocabulary, rate))
    random, train_losses = np.random.default_rng(options.seed), []
    for epoch in range(options.epochs):
        losses = []
        for batch in batches(data, random.permutation(train_rows)):
            losses.append(train_step(*batch))
            rate.step()
        train_losses.append(float(np.mean(losses)))
        print(f"epoch {epoch + 1}: train loss {train_losses[-1]:.4f}", flush=True)
    hits = [predict(*batch[:2]).argmax(axis=1) == batch[2] for batch in batches(data, dev_rows)]
    majority = max(Counter(target for _, target in dev).values()) / len(dev)
    figures = {"train_losses": train_losses, "majority": majority,
               "dev_accuracy": float(np.concatenate(hits).mean())}
    print(f"dev accuracy {figures['dev_accuracy']:.4f}, of the majority class {majority:.4f}")
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_main(main)
