"""Rows of a data set on the Hugging Face hub, at one pinned commit.

In: where a data set is. Out: its rows, or one error that says why it cannot be had and what to do: agree to its terms,
give a token, or download it elsewhere and name the file.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from stages.cannot_run import CannotRunError
from stages.data.row_files import UnreadableRow, all_readable, iter_rows

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PATIENCE_SECONDS = 20.0


class DataUnavailableError(CannotRunError):
    """A data set that cannot be had here and now; the message says what to do."""


class HubSource(BaseModel):
    """Where on the hub a data set lies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    """``owner/name``."""
    revision: str | None
    """The commit, 40 hexadecimal digits. A branch is refused: it moves. None: not pinned yet, and so not loaded."""
    config: str | None = None
    split: str = "train"
    """Of the data set's own splits."""
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
    """All rows of ``source``, downloaded or from the hub's own cache, there without a network next time.

    Raises:
        DataUnavailableError: no commit is pinned, the hub cannot be reached, or it does not give the data set.
        ProblemFileError: a file of it cannot be read.
    """
    return all_readable(_rows(source, streaming=False), source.dataset)


def stream_hub_rows(source: HubSource) -> Iterator[dict[str, Any] | UnreadableRow]:
    """The rows of ``source`` as they come over the network: what is not read is not downloaded (``files`` are, whole).

    Raises:
        DataUnavailableError: as ``read_hub_rows``, when the first row is asked for, or later where the network breaks.
        ProblemFileError: a file of it cannot be read.
    """
    return _rows(source, streaming=True)


def _rows(source: HubSource, *, streaming: bool) -> Iterator[dict[str, Any] | UnreadableRow]:
    if source.revision is None:
        raise DataUnavailableError(
            f"{source.dataset}: no commit is pinned; take the current one from {source.page}/commits/main and give it "
            "as revision, or download the data and give the file"
        )
    if source.files:
        from huggingface_hub import hf_hub_download

        with _explained(source):
            paths = [
                hf_hub_download(source.dataset, name, repo_type="dataset", revision=source.revision)
                for name in source.files
            ]
        for path in paths:
            yield from iter_rows(Path(path))
        return
    from datasets import load_dataset
    from huggingface_hub import HfApi

    with _explained(source):
        if streaming:  # one question without the minutes of retries that datasets would spend on a hub that is away
            HfApi().dataset_info(source.dataset, revision=source.revision, timeout=_PATIENCE_SECONDS)
        yield from load_dataset(
            source.dataset, source.config, split=source.split, revision=source.revision, streaming=streaming
        )


@contextmanager
def _explained(source: HubSource) -> Iterator[None]:
    """Everything the hub may answer instead of data becomes one error with a remedy."""
    import httpx
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    remedy = f"or download {source.dataset} at {source.revision} on another machine and give its file"
    try:
        yield
    except (EntryNotFoundError, RevisionNotFoundError, RepositoryNotFoundError, DatasetNotFoundError) as error:
        if source.gated or isinstance(error, GatedRepoError) or "is a gated dataset" in str(error):
            why = f"is gated: agree to its terms at {source.page}, then `hf auth login` (or set HF_TOKEN)"
        else:
            files = f" with {', '.join(source.files)}" if source.files else ""
            why = f"is not on the hub at commit {source.revision}{files}, or is private: compare with {source.page}"
        raise DataUnavailableError(f"{source.dataset} {why}, {remedy} ({_first_line(error)})") from error
    except (HFValidationError, httpx.HTTPError, OSError) as error:
        hint = f"it is gated: agree to its terms at {source.page} and log in; " if source.gated else ""
        raise DataUnavailableError(
            f"{source.dataset} cannot be had from the hub: {hint}check the network and HF_HUB_OFFLINE, {remedy} "
            f"({type(error).__name__}: {_first_line(error)})"
        ) from error
    except (ValueError, RuntimeError) as error:  # no such config or split, or it needs a script of its own
        raise DataUnavailableError(
            f"{source.dataset}: config {source.config!r}, split {source.split!r} cannot be loaded; correct them, or "
            f"name its files under files ({_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
