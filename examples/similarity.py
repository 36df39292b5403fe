"""Compare sentences by the cosine of their averaged ELMo vectors, layer by layer.

Layer 0 holds the static word vectors, the other layers depend on the context. --mix_from adds a mix
learned by a task (`ELMo.save_mixes`).
"""

from pathlib import Path

import numpy as np

from bilm import Embedder
from bilm.errors import InputError
from bilm.hardware import prepare_device
from bilm.program.json_output import stdout_for_report, write_report
from bilm.program.options import add_device_options, add_json_option
from bilm.program.parser import Parser
from bilm.program.running import run_main
from bilm.text.segmenters import SegmentationOptions, load_segmenter, segment_sentence

PAIRS = Path(__file__).parents[1] / "data/similarity/pairs.tsv"


def read_pairs(path):
    """Read a file of lines `score<TAB>first<TAB>second`; return scores and sentences."""
    rows = [line.split("\t") for line in Path(path).read_text(encoding="utf-8").splitlines()]
    scores, first, second = zip(*rows)
    return np.array(scores, float), [*first], [*second]


def ranks(values):
    """Return the rank of each value, from 0; equal values share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[places]


def spearman(first, second):
    """Return the correlation of the ranks of two lists of numbers."""
    return float(np.corrcoef(ranks(first), ranks(second))[0, 1])


def unit_vectors(vectors):
    """Return rows (sentences, features) minus their mean, scaled to length 1.

    All vectors of a language model point in similar directions; subtracting the mean makes
    their cosines differ more.
    """
    centred = vectors - vectors.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def sentence_vectors(options, sentences):
    """Return {name: vectors (sentences, features)} for each layer, their average and the mix."""
    cut = load_segmenter(SegmentationOptions())
    words = [segment_sentence(sentence, cut) for sentence in sentences]
    of_words = {"unknown": options.unknown, "vocab_path": options.vocab_path}
    layers = Embedder(options.model, **of_words).embed(words)  # (layers, words, features) each
    means = np.stack([vectors.mean(axis=1) for vectors in layers], axis=1)
    by_name = {str(number): layer for number, layer in enumerate(means)}
    by_name["average"] = means.mean(axis=0)
    if options.mix_from:
        embedder = Embedder(options.model, layers="mix", mix_from=options.mix_from, **of_words)
        by_name["mix"] = np.stack([vectors.mean(axis=0) for vectors in embedder.embed(words)])
    return {name: unit_vectors(vectors) for name, vectors in by_name.items()}


def build_parser():
    """Return the parser of this program."""
    parser = Parser("python examples/similarity.py", __doc__, [
        "python examples/similarity.py --model sample --layer 1 --query '这家酒店很安静。'"])
    add = parser.group("model").add_argument
    add("--model", default="sample", metavar="PATH", help="a biLM")
    add("--vocab_path", metavar="FILE", help="vocabulary of a model that has none")
    add("--mix_from", metavar="DIR", help="folder with the weights of a mix")
    add("--unknown", choices=("unk", "characters"), default="characters",
        help="representation of unknown words")
    add = parser.group("text").add_argument
    add("--pairs", default=PAIRS, metavar="FILE", help="score, tab, sentence, tab, sentence")
    add("--query", default="昨天夜里雨下得真大。", help="sentence whose neighbours are wanted")
    add("--layer", default="average", help="layer of the neighbours: 0, 1, ..., average or mix")
    add("--num_neighbours", type=int, default=3, metavar="N", help="number of neighbours")
    add_device_options(parser)
    add_json_option(parser)
    return parser


def compare(options):
    """Print and return the correlations with the scores and the neighbours of the query."""
    scores, first, second = read_pairs(options.pairs)
    sentences = [*first, *second]
    by_layer = sentence_vectors(options, [*sentences, options.query])
    if options.layer not in by_layer:
        raise InputError(f"--layer must be one of {', '.join(by_layer)}, not {options.layer}")
    correlations = {}
    for name, vectors in by_layer.items():
        cosines = (vectors[: len(first)] * vectors[len(first) : -1]).sum(axis=1)
        correlations[name] = spearman(cosines, scores)
        print(f"layer {name}: Spearman correlation {correlations[name]:.4f}")
    vectors = by_layer[options.layer]
    cosines = vectors[:-1] @ vectors[-1]
    nearest = np.argsort(-cosines, kind="stable")[: options.num_neighbours]
    print(f"nearest to {options.query} by layer {options.layer}:")
    for place in nearest:
        print(f"{cosines[place]:.4f} {sentences[place]}")
    return {"correlations": correlations, "nearest": [sentences[place] for place in nearest]}


def main(arguments=None):
    """Run the program."""
    options = build_parser().parse_args(arguments)
    prepare_device(options.use_gpu, options.threads)
    with stdout_for_report(options.json):
        figures = compare(options)
    write_report(options.json, figures)


if __name__ == "__main__":
    run_main(main)
