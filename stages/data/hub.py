"""Rows of a data set on the Hugging Face hub, at one pinned commit.

In: where a data set is. Out: its rows, or one error that says why it cannot be had and what to do: agree to its terms,
give a token, or download it elsewhere and name the file.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, field_validator

from stages.data.row_files import read_rows

_COMMIT = re.compile(r"[0-9a-f]{40}")
T = TypeVar("T")


class DataUnavailableError(OSError):
    """A data set that cannot be had here and now; the message says what to do."""


class HubSource(BaseModel):
    """Where on the hub a data set lies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    """``owner/name``."""
    revision: str | None
    """The commit, 40 hexadecimal digits. A branch is refused: it moves. None: not pinned yet, and so not loaded."""
    config: str | None = None
    split: str = "test"
    files: tuple[str, ...] = ()
    """Read these files of the data set as they stand, in order, instead of ``config`` and ``split``: for data sets that
    need a loading script, and for text that a table would turn into numbers."""
    gated: bool = False
    """Whether its owner wants terms agreed to first."""

    @field_validator("revision")
    @classmethod
    def _is_a_commit(cls, revision: str | None) -> str | None:
        if revision is not None and not _COMMIT.fullmatch(revision):
            raise ValueError(f"{revision!r} is not a commit (40 hexadecimal digits); a branch or tag can move")
        return revision

    @property
    def page(self) -> str:
        """Where a person finds it."""
        return f"https://huggingface.co/datasets/{self.dataset}"


def read_hub_rows(source: HubSource) -> list[dict[str, Any]]:
    """The rows of ``source``, downloaded or from the hub's own cache.

    Raises:
        DataUnavailableError: no commit is pinned, the hub cannot be reached, or it does not give the data set.
        ProblemFileError: a file of it cannot be read.
    """
    if source.revision is None:
        raise DataUnavailableError(
            f"{source.dataset}: no commit is pinned; take the current one from {source.page}/commits/main and give it "
            "as revision, or download the data and give the file"
        )
    if source.files:
        paths = [_or_explain(source, partial(_download, source, name)) for name in source.files]
        return [row for path in paths for row in read_rows(path)]
    return _or_explain(source, partial(_load, source))


def _download(source: HubSource, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(source.dataset, name, repo_type="dataset", revision=source.revision))


def _load(source: HubSource) -> list[dict[str, Any]]:
    from datasets import load_dataset

    return list(load_dataset(source.dataset, source.config, split=source.split, revision=source.revision))


def _or_explain(source: HubSource, fetch: Callable[[], T]) -> T:
    """What ``fetch`` gives; everything the hub may answer instead becomes one error with a remedy."""
    import httpx
    from huggingface_hub.errors import GatedRepoError, HFValidationError

    remedy = f"or download {source.dataset} at {source.revision} on another machine and give its file"
    try:
        return fetch()
    except GatedRepoError as error:
        raise DataUnavailableError(
            f"{source.dataset} is gated: agree to its terms at {source.page}, then `hf auth login` (or set HF_TOKEN), "
            f"{remedy} ({_first_line(error)})"
        ) from error
    except (HFValidationError, httpx.HTTPError, OSError) as error:
        hint = f"it is gated: agree to its terms at {source.page} and log in; " if source.gated else ""
        raise DataUnavailableError(
            f"{source.dataset} cannot be had from the hub: {hint}check the network and HF_HUB_OFFLINE, {remedy} "
            f"({type(error).__name__}: {_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
