"""What is measured of this project."""

import shutil
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from benchmark.others import SAMPLE, sample_sentences, sgemm
from benchmark.sizes import batch_shape, sizes_of
from benchmark.text import write_zipf_text
from bilm.hardware import keep_freed_memory, tune_cpu


def prepare(task, config, folder, threads, system):
    """Return a function that does a piece of work and returns its amount."""
    tune_cpu(threads)
    if task.startswith("train"):
        return _training(sizes_of(config), task == "train_sampled", folder)
    if task.startswith("embed"):
        return _embedding(sizes_of(config), batch_shape(task, sizes_of(config)))
    others = {"sgemm": _sgemm, "lac_tag": _tagging, "segment": _segmentation}
    if task == "convert":
        return _conversion(sizes_of(config), folder)
    return others[task](folder)


def _config(sizes):
    from bilm.network.config import BiLMConfig

    return BiLMConfig(sizes.vocab, sizes.projection, sizes.cell)


def _training(sizes, is_sampled, folder):
    """Steps of the real training, the reading of text included; words follow Zipf's law."""
    from bilm.network.model import BiLM
    from bilm.text.corpus import Corpus
    from bilm.text.vocabulary import Vocabulary
    from bilm.training.options import TrainingOptions
    from bilm.training.trainer import Trainer

    keep_freed_memory()
    path, vocabulary_path = write_zipf_text(folder, sizes.vocab)
    vocabulary = Vocabulary.load(vocabulary_path)
    options = TrainingOptions(
        train_path=str(path), embed_size=sizes.projection, hidden_size=sizes.cell,
        batch_size=sizes.batch, num_steps=sizes.steps, sample_softmax=is_sampled, max_epoch=10**6,
        n_negative_samples_batch=sizes.candidates,
    )
    model = BiLM(options.model_config(vocabulary))
    model.train()
    trainer = Trainer(model, Corpus(str(path), vocabulary), options, total_steps=10**6)
    batches = iter(trainer.batches())
    return lambda: trainer.train_step(next(batches)).tokens


def _embedding(sizes, shape):
    import paddle

    from bilm.network.model import BiLM

    model = BiLM(_config(sizes), has_softmax=False)
    model.eval()
    ids = paddle.to_tensor(np.random.default_rng(0).integers(0, sizes.vocab, shape))

    def run():
        with paddle.no_grad():
            model(ids)
        return shape[0] * shape[1]

    return run


def _sgemm(folder):
    import paddle

    return sgemm(paddle.rand([2048, 2048]), paddle.matmul)


def _tagging(folder):
    """Sentences of 30 to 50 characters in batches of 32, by a tagger of Baidu's sizes."""
    from lac.tagging import LAC
    from lac.training.options import TaggerOptions
    from lac.training.run import train

    run = Path(folder) / "tagger"
    train(TaggerOptions(train_path=str(SAMPLE / "lac/train.tsv"), max_epochs=1,
                        dev_path=str(SAMPLE / "lac/dev.tsv"), save_dir=str(run),
                        word_embedding_size=128, gru_size=128))
    lac = LAC(run)
    texts = [text for text in _joined_sentences() if 30 <= len(text) <= 50][:256]
    amount = sum(map(len, texts))

    def tag():
        lac.run(texts)
        return amount

    return tag


def _joined_sentences():
    """Yield texts of about 40 characters made of sentences of the sample."""
    text = ""
    for sentence in chain.from_iterable(repeat(sample_sentences(), 50)):
        text += sentence
        if len(text) >= 30:
            yield text
            text = ""


def _segmentation(folder):
    from bilm.text.segment_files import segment_files

    source = Path(folder) / "raw.txt"
    source.write_text("\n".join(sample_sentences() * 40) + "\n", encoding="utf-8")
    amount = len(source.read_text(encoding="utf-8"))
    target = Path(folder) / "segmented"

    def segment():
        shutil.rmtree(target, ignore_errors=True)
        segment_files([str(source)], str(target))
        return amount

    return segment


def _conversion(sizes, folder):
    """From this project's format to LARK's, unchecked; megabytes of weights."""
    from bilm.conversion.convert import convert
    from bilm.network.model import BiLM

    source, target = Path(folder) / "model", Path(folder) / "converted"
    BiLM(_config(sizes)).save_pretrained(source)
    megabytes = (source / "model.safetensors").stat().st_size / 1e6

    def run():
        shutil.rmtree(target, ignore_errors=True)
        convert(source, target, "lark", verify=False)
        return megabytes

    return run
