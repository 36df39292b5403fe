"""The Chinese lexical tagger that joins ELMo with a word embedding of its own.

Reserved: the tagger is built on `bilm` and nothing is public here yet.
"""
