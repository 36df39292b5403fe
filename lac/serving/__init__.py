"""The tagger over HTTP: answers, the application that gives them, its limits, its page."""
