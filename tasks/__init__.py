"""How a stage is run: Prefect tasks around DVC, and the MLflow run of a flow. Nothing here reaches torch."""
