"""Pictures of a tagger's training, and of the types that it confuses."""
