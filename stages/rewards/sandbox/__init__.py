"""Where programs and algebra that nobody trusts run: in processes with walls, time and memory of their own."""
