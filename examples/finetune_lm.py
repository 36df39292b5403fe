"""Continue training a biLM on raw text from another domain; compare perplexities before and after.

    cut -f2 data/sentiment/train.tsv > reviews.txt
    cut -f2 data/sentiment/dev.tsv > held_out.txt
    python examples/finetune_lm.py --text reviews.txt --dev_text held_out.txt

The model may get worse on its original domain. The steps are also available as commands: bilm
segment, convert --new_vocab, evaluate, pretrain --load_dir.
"""

import json
from collections import Counter
from pathlib import Path

from bilm import Vocabulary
from bilm.commands import evaluate, pretrain
from bilm.conversion.convert import convert
from bilm.files import check_new_folder
from bilm.program.json_output import stdout_for_report, write_report
from bilm.program.options import add_device_options, add_json_option
from bilm.program.parser import Parser
from bilm.program.running import run_main
from bilm.text.segment_files import segment_files


def extended_vocabulary(old, shards, min_count):
    """Return the old vocabulary followed by new words that occur at least `min_count` times."""
    lines = (line for shard in shards for line in shard.read_text(encoding="utf-8").splitlines())
    counts = Counter(word for line in lines for word in line.split())
    frequent = Vocabulary.from_counts(counts, min_count).words
    return Vocabulary([*old.words, *(word for word in frequent if word not in old)])


def figures_of(model, text, path, device):
    """Evaluate a model on segmented text; return its perplexity, oov_rate and other figures."""
    evaluate.main(["--model", str(model), "--data", f"{text}/sentence_file_*", "--json", str(path),
                   *device])
    return json.loads(path.read_text(encoding="utf-8"))


def build_parser():
    """Return the parser of this program."""
    parser = Parser("python examples/finetune_lm.py", __doc__, [
        "python examples/finetune_lm.py --text reviews.txt --dev_text held_out.txt"])
    add = parser.group("model").add_argument
    add("--model", default="sample", metavar="PATH", help="a biLM in any format that bilm reads")
    add("--vocab_path", metavar="FILE", help="vocabulary of a model that has none")
    add("--keep_vocabulary", action="store_true", help="add no words")
    add("--min_count", type=int, default=2, metavar="N", help="least count of new words")
    add = parser.group("text").add_argument
    add("--text", nargs="+", required=True, metavar="FILE", help="raw text to train on")
    add("--dev_text", nargs="+", required=True, metavar="FILE", help="held-out raw text")
    add("--output", default="tuned", metavar="DIR", help="new folder for all results")
    add = parser.group("training").add_argument
    add("--max_steps", type=int, default=100, metavar="N", help="training steps")
    add("--batch_size", type=int, default=16, metavar="N", help="rows per batch")
    add("--learning_rate", type=float, default=0.1, metavar="X", help="of Adagrad")
    add("--seed", type=int, default=0, metavar="N", help="determines dropout and order")
    add_device_options(parser)
    add_json_option(parser)
    return parser


def tune(options):
    """Write segmented text and models to --output; return the figures before and after."""
    output = Path(options.output)
    check_new_folder(output)

    # 1. raw text to words
    segment_files(options.text, output / "train")
    segment_files(options.dev_text, output / "dev")

    # 2. a model folder in which new words start from the mean of all words
    new_vocabulary = None
    if not options.keep_vocabulary:
        path = options.vocab_path
        old = Vocabulary.load(path) if path else Vocabulary.from_pretrained(options.model)
        shards = sorted((output / "train").glob("sentence_file_*"))
        words = extended_vocabulary(old, shards, options.min_count)
        new_vocabulary = output / "vocabulary.txt"
        new_vocabulary.write_text(words.to_text(), encoding="utf-8")
        print(f"vocabulary: {len(old)} words, and {len(words) - len(old)} new ones")
    convert(options.model, output / "start", "bilm", vocab_path=options.vocab_path,
            new_vocab_path=new_vocabulary, verify=False)

    # 3. perplexity, training, perplexity: with the same vocabulary, so that they can be compared
    device = ["--use_gpu", str(options.use_gpu), "--threads", str(options.threads)]
    before = figures_of(output / "start", output / "dev", output / "before.json", device)
    pretrain.main([
        "--load_dir", str(output / "start"), "--para_save_dir", str(output / "run"),
        "--train_path", f"{output}/train/sentence_file_*", "--max_epoch", "1000000",
        "--max_steps", str(options.max_steps), "--batch_size", str(options.batch_size),
        "--learning_rate", str(options.learning_rate), "--random_seed", str(options.seed),
        "--log_interval", "20", "--shuffle", *device,
    ])
    after = figures_of(output / "run", output / "dev", output / "after.json", device)
    print(f"held-out perplexity: {before['perplexity']:.2f} before, {after['perplexity']:.2f} after"
          f" (OOV rate {after['oov_rate']:.2%}); the tuned model: {output / 'run'}")
    return {"before": before, "after": after}


def main(arguments=None):
    """Run the program."""
    options = build_parser().parse_args(arguments)
    with stdout_for_report(options.json):
        figures = tune(options)
    write_report(options.json, figures)


if __name__ == "__main__":
    run_main(main)
