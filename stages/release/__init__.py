"""What is done with a finished checkpoint: ask it, export it."""
