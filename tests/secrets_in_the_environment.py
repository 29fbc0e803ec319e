"""Secrets for the environment of a run, made up, and the search for them in everything the run leaves."""

from pathlib import Path

CANARIES = {
    name: f"canary-of-{name.lower()}-9c41"
    for name in (
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "MLFLOW_TRACKING_PASSWORD",
        "R1_SANDBOX_TOKEN",
        "OPENAI_API_KEY",
        "SOME_PASSWORD",
    )
}


def leaks(place: Path | str) -> list[str]:
    """Names of the canaries in a text, or in any file of a folder with the file's name; git's own are left out."""
    if isinstance(place, str):
        return [name for name, canary in CANARIES.items() if canary in place]
    files = (path for path in place.rglob("*") if path.is_file() and ".git" not in path.parts)
    return [f"{name} in {path}" for path in files for name in _names(path.read_bytes())]


def _names(content: bytes) -> list[str]:
    return [name for name, canary in CANARIES.items() if canary.encode() in content]
