"""Models and training runs on disk: folders, checks, and the formats of other systems."""
