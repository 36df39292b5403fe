"""The windows of a corpus, by the book and not fast."""

from bilm.text.vocabulary import BOS, EOS


def plain_windows(sentences, batch_size, num_steps):
    """Yield the windows of the given sentences, by the book and not fast.

    Yields:
        For each row a list of at most num_steps tuples: input and target of the forward
        direction, input and target of the backward direction.
    """
    supply, rows = iter(sentences), [[] for _ in range(batch_size)]
    while True:
        for row in rows:
            while len(row) < num_steps:
                words = next(supply, None)
                if words is None:
                    break
                text = [BOS, *words, EOS]
                turned = text[::-1]
                row += zip(text, text[1:], turned, turned[1:])
        window = [row[:num_steps] for row in rows]
        if not any(window):
            return
        yield window
        rows = [row[num_steps:] for row in rows]


def rows_of(windows):
    """Return the whole stream of each row."""
    return [[step for part in parts for step in part] for parts in zip(*windows)]
