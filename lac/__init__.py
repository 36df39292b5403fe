"""A Chinese lexical tagger that joins ELMo with a word embedding of its own.

Importing this package imports no Paddle and configures nothing: the public names
below are resolved when they are first used.
"""

from bilm.lazy_names import lazy_names

_HOME_OF = {
    "Customization": "lac.customization",
    "LAC": "lac.tagging",
    "LinearChainCRF": "lac.network.crf",
    "OnnxTagger": "lac.onnx_tagger",
    "Tagger": "lac.network.model",
    "TaggerConfig": "lac.network.config",
    "TagScheme": "lac.tag_schemes",
    "WordScores": "lac.word_scores",
    "read_tagged": "lac.tagged_files",
}
__all__ = sorted(_HOME_OF)
__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
