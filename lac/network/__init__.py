"""The tagger's network, in Paddle: it knows no files."""
