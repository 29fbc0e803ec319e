"""What a profile will need before it is run: memory, time and disk of every stage. ``python -m stages.planning``."""
