"""From one format to another, checked; and what a checkpoint holds."""
