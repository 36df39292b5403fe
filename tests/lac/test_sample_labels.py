"""The labelled sentences in data/lac."""

from collections import Counter

import pytest

from lac.tagged_files import load_tags, read_tagged
from tests.reference.places import ROOT

if not (ROOT / "data/lac").is_dir():
    pytest.skip("needs a checkout", allow_module_level=True)

LAC_TYPES = set(
    "n f s t nr ns nt nw nz v vd vn a ad an d m q r p c u xc w".split()  # noqa: SIM905
)


@pytest.fixture(scope="module")
def corpora():
    return {name: read_tagged(ROOT / f"data/lac/{name}.tsv") for name in ("train", "dev")}


def test_they_are_sentences_of_the_sample_corpus(corpora):
    for name, corpus in corpora.items():
        lines = set()
        for path in (ROOT / "data" / name).glob("sentence_file_*"):
            lines.update(path.read_text("utf-8").splitlines())
        assert all(" ".join(sentence.tokens) in lines for sentence in corpus.sentences)


def test_there_are_enough_of_everything(corpora):
    sentences = [s for corpus in corpora.values() for s in corpus.sentences]
    assert len(sentences) >= 300
    assert len({token for s in sentences for token in s.tokens}) >= 1500
    scheme = corpora["train"].scheme
    assert scheme.name == "suffix"
    spans = [span for s in sentences for span in scheme.spans(s.tags)]
    counts = Counter(span.type for span in spans)
    assert set(counts) == LAC_TYPES
    assert all(counts[kind] >= 20 for kind in ("nr", "ns", "nt", "t"))
    long = Counter(span.type for span in spans if span.end - span.start > 1)
    assert all(long[kind] >= 20 for kind in ("nr", "ns", "nt", "t"))


def test_the_tag_file_has_every_tag_and_no_other_type(corpora):
    tags = load_tags(ROOT / "data/lac/tags.txt")
    assert set(corpora["train"].tags) | set(corpora["dev"].tags) <= set(tags)
    assert sorted({tag[:-2] for tag in tags}) == sorted(LAC_TYPES)


def test_single_word_types_are_never_continued(corpora):
    continued = {tag[:-2] for corpus in corpora.values() for tag in corpus.tags if tag[-1] == "I"}
    assert continued <= {"nr", "ns", "nt", "nw", "nz", "t"}
