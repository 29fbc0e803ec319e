"""What runs in which order. Prefect flows only: no numbers, no torch."""
