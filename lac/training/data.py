"""The tagged text of a run, and whether it is the one that a checkpoint was trained on."""

import hashlib
import logging
from typing import Dict, NamedTuple, Optional

from lac.tagged_files import TaggedCorpus, read_tagged, read_together, to_line
from lac.training.corpus_types import files_of_types
from lac.training.options import TaggerOptions

_log = logging.getLogger("lac")


class Corpora(NamedTuple):
    """The tagged text of a run.

    Attributes:
        train: Text that the tagger learns from.
        dev: Text that decides when training stops.
        test: Text on which the best tagger is scored in the end, or None.
    """

    train: TaggedCorpus
    dev: TaggedCorpus
    test: Optional[TaggedCorpus]

    def checksums(self) -> Dict[str, str]:
        """Return SHA-256s of the words and tags under "train", "dev" and "test"."""
        checksums = {}
        for name, corpus in self._asdict().items():
            digest = hashlib.sha256()
            for sentence in corpus.sentences if corpus else ():
                digest.update(to_line(sentence).encode() + b"\n")
            if corpus and corpus.sizes:
                digest.update(str([*corpus.sizes]).encode())
            checksums[name] = digest.hexdigest()
        return checksums


def read_corpora(options: TaggerOptions) -> Corpora:
    """Return the tagged text that the options name.

    Raises:
        InputError: Files are missing or malformed, see `read_tagged`; or one belongs to no
            corpus of --corpus_type_list, or to several.
    """
    if options.corpus_types:
        train = read_together(files_of_types(options.train_path, options.corpus_types))
    else:
        train = read_tagged(options.train_path)
    dev = read_tagged(options.dev_path)  # words are compared, whatever the scheme of their tags
    test = read_tagged(options.test_path) if options.test_path else None
    sentences = train.sentences
    if len(sentences) > 1 and all(len(sentence.tokens) == 1 for sentence in sentences):
        _log.warning(
            f"{options.train_path}: every sentence is a single word; one word a line is CoNLL's "
            "form: here a line is a sentence"
        )
    if options.max_train_sentences:
        train = train._replace(sentences=sentences[: options.max_train_sentences])
    return Corpora(train, dev, test)
