"""From characters to batches of ids: files of text, segmentation, vocabularies; without Paddle."""
