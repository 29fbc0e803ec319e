"""What of the Hugging Face hub a run needs, asked for before it starts.

In: where a model or a data set lies. Out: the small files of the model, or a sentence on the data set; or a finding.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from stages.data.hub import HubSource
from stages.doctor.findings import FindingError, NotCheckedError

TOKENIZER_FILES = ["*.json", "*.jinja", "*.model", "*.txt"]
SECONDS = 10.0
"""To wait for an answer."""
T = TypeVar("T")


def model_files(repository: str, revision: str | None) -> Path:
    """Folder with configuration and tokenizer of a model, from the hub's cache where they are there already.

    Raises:
        FindingError: the hub does not give them.
    """
    from huggingface_hub import snapshot_download

    elsewhere = f"or name a folder, downloaded elsewhere (hf download {repository} --revision {revision})"
    return _had(
        repository,
        elsewhere,
        lambda: Path(
            snapshot_download(repository, revision=revision, allow_patterns=TOKENIZER_FILES, etag_timeout=SECONDS)
        ),
    )


def check_data_set(source: HubSource) -> str:
    """The hub would give ``source`` to this user; nothing is downloaded."""
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if source.revision is None:
        raise FindingError(
            f"{source.dataset}: no commit is pinned", f"give one of {source.page}/commits/main as revision, or a file"
        )
    if HF_HUB_OFFLINE:
        raise NotCheckedError(f"HF_HUB_OFFLINE is set: {source.dataset} must be in the hub's cache")
    elsewhere = "or set HF_HUB_OFFLINE=1 if it is in the cache, or download it elsewhere and give its file"
    api = HfApi()
    _had(source.page, elsewhere, lambda: api.auth_check(source.dataset, repo_type="dataset"))
    _had(source.page, elsewhere, lambda: api.dataset_info(source.dataset, revision=source.revision, timeout=SECONDS))
    return f"{source.dataset} at {source.revision[:7]} can be had"


def _had(name: str, elsewhere: str, ask: Callable[[], T]) -> T:
    """What ``ask`` gives; what the hub may answer instead is a finding."""
    import httpx
    from huggingface_hub.errors import GatedRepoError

    try:
        return ask()
    except GatedRepoError as error:
        raise FindingError(f"{name} is gated", f"agree to its terms there, then hf auth login; {elsewhere}") from error
    except (httpx.HTTPError, OSError, ValueError) as error:
        said = (str(error).strip().splitlines() or [""])[0]
        raise FindingError(
            f"{name} cannot be had from the hub ({type(error).__name__}: {said})",
            f"check its name and revision, HF_TOKEN, HF_HUB_OFFLINE and the network; {elsewhere}",
        ) from error
