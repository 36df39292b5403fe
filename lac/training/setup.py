"""Sets up a training run of a tagger: data, pieces, tags, biLM and folder, all checked."""

from typing import Dict, List, NamedTuple, Optional, Tuple

import paddle

from bilm.errors import InputError
from bilm.network.model import BiLM
from bilm.randomness import seed_for
from bilm.storage.pretrained import open_model
from bilm.storage.run_folder import RunFolder
from bilm.storage.side_files import CONFIG_FILE
from bilm.storage.stored_model import StoredModel
from lac.analyser import Analyser, CutTexts
from lac.evaluate import texts_of, warn_of_unknown_types
from lac.layer_cache import LayerCache
from lac.lookup import Lookup
from lac.model_folder import ELMO_FOLDER, StoredTagger, read_tagger
from lac.network.model import Tagger
from lac.piece_files import keep_segmenter_files
from lac.pretrained import analyser_of, load_bilm, set_widened_weights
from lac.tagged_files import TaggedCorpus, check_known
from lac.training.data import Corpora, read_corpora
from lac.training.options import TaggerOptions
from lac.training.plan import encoded, planned_tagger
from lac.training.resume import Resumable
from lac.training.trainer import TaggerTrainer


class Setup(NamedTuple):
    """The parts of a run.

    Attributes:
        options: The options.
        folder: The run's folder.
        corpora: The tagged text, words with tags.
        data: Checksums of the tagged text.
        trainer: A trainer, at the step from which the run continues.
        stored: The tagger's folder as it will be written, except the weights.
        analyser: Cuts and tags texts with the tagger.
        dev_texts: The dev data as the tagger cuts it from raw text.
        dev_cache: ELMo's layers of these texts, or None.
        state: The content of the checkpoint's state.json; empty for a new run.
    """

    options: TaggerOptions
    folder: RunFolder
    corpora: Corpora
    data: Dict[str, str]
    trainer: TaggerTrainer
    stored: StoredTagger
    analyser: Analyser
    dev_texts: CutTexts
    dev_cache: Optional[LayerCache]
    state: dict


class Caches:
    """ELMo's layers of training and dev data, shared by runs with the same biLM and data.

    Args:
        quiet: Whether to hide progress.
    """

    def __init__(self, quiet: bool = False):
        self._quiet = quiet
        self._caches: Dict[str, Tuple[tuple, LayerCache]] = {}

    def get(
        self,
        name: str,
        tagger: Tagger,
        lookup: Lookup,
        sentences: List[List[str]],
        options: TaggerOptions,
    ) -> Optional[LayerCache]:
        """Return the layers of sentences; None where the tagger has no frozen biLM.

        Args:
            name: "training data" or "dev data".
            tagger: The tagger.
            lookup: Turns sentences into its ids.
            sentences: The pieces of the sentences.
            options: The options of the run.

        Raises:
            InputError: There is no room on the disk.
        """
        if tagger.elmo is None or options.finetune_elmo:
            return None
        key = options.elmo, options.variant, options.elmo_unknown, options.pieces, len(sentences)
        if name not in self._caches or self._caches[name][0] != key:
            cache = LayerCache(
                tagger.elmo, lookup, sentences, options.cache_megabytes, options.save_dir,
                None if self._quiet else f"ELMo layers, {name}",
            )
            self._caches[name] = key, cache
        return self._caches[name][1]


def set_up(
    options: TaggerOptions,
    folder: RunFolder,
    checkpoint: Optional[Resumable] = None,
    caches: Optional[Caches] = None,
) -> Setup:
    """Return the parts of a run, new or as they were when a checkpoint was written.

    Args:
        options: The options.
        folder: The run's folder.
        checkpoint: Checkpoint to continue from; None starts a new run.
        caches: Layers of earlier runs, which are used if the biLM and the data are the same.

    Raises:
        InputError: The options do not fit the data, the tagger or the biLM that they name.
    """
    corpora = read_corpora(options)
    data = corpora.checksums()
    base = _read_base(options, checkpoint)
    elmo = _load_bilm(options, base, checkpoint is not None)
    stored = planned_tagger(
        options, base, checkpoint is not None, corpora.train, elmo and elmo[1]
    )
    train = encoded(corpora.train, stored, options.train_path)
    _check_tags(options, corpora, train, stored)
    if elmo is not None:
        _keep_bilm(folder, *elmo, checkpoint is not None)
    stored = stored._replace(segmentation=keep_segmenter_files(folder.path, stored.segmentation))
    paddle.seed(seed_for("initial weights", options.random_seed))
    tagger = Tagger(stored.config, None if elmo is None else elmo[0], options.finetune_elmo)
    analyser = analyser_of(tagger, stored)
    lookup = analyser.predictor.lookup
    dev_texts = analyser.cut_texts(texts_of(corpora.dev))
    caches = caches or Caches()
    pieces = [sentence.tokens for sentence in train.sentences]
    cache = caches.get("training data", tagger, lookup, pieces, options)
    dev_cache = caches.get("dev data", tagger, lookup, dev_texts.tokens(), options)
    trainer = TaggerTrainer(
        tagger, train.sentences, lookup, stored.tags, options, cache, train.sizes
    )
    if base is not None and checkpoint is not None:
        _restore(trainer, base, checkpoint, data)
    elif base is not None:
        set_widened_weights(tagger, base.weights, options.load_pretraining_params)
    analyser.predictor.update()
    state = {} if checkpoint is None else checkpoint.state
    return Setup(
        options, folder, corpora, data, trainer, stored, analyser, dev_texts, dev_cache, state
    )


def _read_base(
    options: TaggerOptions, checkpoint: Optional[Resumable]
) -> Optional[StoredTagger]:
    """Return the tagger that is trained further, or None."""
    if checkpoint is not None:
        return read_tagger(checkpoint.path)
    if options.load_pretraining_params:
        return read_tagger(options.load_pretraining_params)
    return None


def _load_bilm(
    options: TaggerOptions, base: Optional[StoredTagger], is_resumed: bool
) -> Optional[Tuple[BiLM, StoredModel]]:
    """Return the biLM without its softmax, and all that is stored with it; None without ELMo."""
    own = base.elmo if base is not None else None
    if own is not None and options.elmo_path is not None and not is_resumed:
        raise InputError(f"--elmo: {options.load_pretraining_params} has ELMo already")
    path = own or options.elmo_path
    if path is None:
        if options.finetune_elmo:
            raise InputError(f"--finetune_elmo: {options.load_pretraining_params} has no ELMo")
        return None
    vocab_path = options.elmo_vocab_path if own is None else None
    source = open_model(path, vocab_path=vocab_path, moments=False)
    if source.vocabulary is None and source.config.char_cnn is None:
        raise InputError(f"{path}: has no vocab.txt; name the file with --elmo_vocab_path")
    return load_bilm(source, path), source


def _keep_bilm(folder: RunFolder, bilm: BiLM, source: StoredModel, is_resumed: bool) -> None:
    """Write the biLM into the run's folder, from which checkpoints link its files."""
    path = folder.path / ELMO_FOLDER
    if not (is_resumed and (path / CONFIG_FILE).is_file()):
        bilm.save_pretrained(path, source.vocabulary, source.segmentation)


def _check_tags(
    options: TaggerOptions, corpora: Corpora, train: TaggedCorpus, stored: StoredTagger
) -> None:
    """Check that the data's tags are the tagger's, and those are written in its scheme."""
    decided_by = options.load_pretraining_params or options.label_dict_path
    check_known(train, stored.tags, decided_by, options.train_path)
    train.scheme.check(stored.tags, options.label_dict_path or options.train_path)
    warn_of_unknown_types(corpora.dev, stored, options.dev_path)


def _restore(
    trainer: TaggerTrainer, stored: StoredTagger, checkpoint: Resumable, data: Dict[str, str]
) -> None:
    """Set the trainer back to the moment when a checkpoint was written."""
    if checkpoint.state["data"]["train"] != data["train"]:
        raise InputError(
            f"{trainer.options.train_path}: has changed since this run started; start a new one"
        )
    trainer.restore(
        checkpoint.state["step"], stored.weights, checkpoint.training, str(checkpoint.path)
    )
