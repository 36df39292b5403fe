"""Run classify.py as a static program, through LARK's interface.

BILM_KERNEL=native makes static programs several times faster: see docs/performance.md.
"""

import classify
import paddle
from paddle.nn import functional as F
from sentiment import last_layer, pool

from bilm import BiLMConfig, elmo_encoder, init_pretraining_params
from bilm.program.running import run_main


def static_classifier(options, vocabulary, rate):
    """Return the functions of `classify.dynamic_classifier`, computed by a static program.

    All batches should have the same number of steps: on Paddle 2.6, a static program with a
    variable number of steps fails on a batch that has fewer than an earlier one.
    """
    paddle.enable_static()
    main, startup = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(main, startup):
        token_ids = paddle.static.data("token_ids", [None, None], "int64")
        lengths = paddle.static.data("lengths", [None], "int64")
        targets = paddle.static.data("targets", [None], "int64")
        config = BiLMConfig.from_pretrained(options.model)
        vectors = elmo_encoder(
            token_ids, lengths=lengths, config=config, dropout=0.0, trainable=options.finetune)
        last = last_layer(config.num_directions * config.projection_size)
        scores = last(pool(vectors, lengths))
        loss = F.cross_entropy(scores, targets)
        test_program = paddle.static.normalize_program(main, [token_ids, lengths], [scores])
        paddle.optimizer.Adam(rate).minimize(loss)
    executor = paddle.static.Executor()
    executor.run(startup)
    init_pretraining_params(executor, options.model, main)

    def run(program, wanted, *batch):
        feed = dict(zip(("token_ids", "lengths", "targets"), batch))
        return executor.run(program, feed=feed, fetch_list=[wanted])[0]

    return (lambda *batch: float(run(main, loss, *batch)),
            lambda *batch: run(test_program, scores, *batch))


def build_parser():
    """Return the parser of this program."""
    parser = classify.common_parser("python examples/classify_static.py", __doc__, [
        "python examples/classify_static.py --model sample --finetune"])
    parser.set_defaults(features="elmo")
    return parser


def main(arguments=None):
    """Run the program."""
    classify.main(arguments, build_parser(), static_classifier)


if __name__ == "__main__":
    run_main(main)
