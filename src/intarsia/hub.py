"""The hub's files, through its own client and cache: one file at a time, pinned, never code.

Where files are kept, and whether the hub may be asked at all, is decided by the client's own variables: HF_HOME,
HF_HUB_CACHE, HF_HUB_OFFLINE, HF_ENDPOINT, HF_TOKEN.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from intarsia.errors import MachineError, SettingsError
from intarsia.extras import needed

_TIMEOUT = 5.0  # seconds for the first word with the hub
_THEN = "model.pretrained=FOLDER, or model.pretrained=false to begin with random weights"
_cache_only: ContextVar[bool] = ContextVar("cache_only", default=False)


@contextmanager
def cache_only() -> Iterator[None]:
    """Within, the hub is not asked: asking in vain takes many seconds."""
    before = _cache_only.set(True)
    try:
        yield
    finally:
        _cache_only.reset(before)


def fetch(repository: str, name: str, revision: str | None = None, then: str = _THEN) -> Path:
    """A file of a repository, from the cache or from the hub.

    Args:
        repository: as `owner/name`.
        name: of the file in it.
        revision: a commit, branch or tag; None for the newest.
        then: what to say here once somebody has the repository in a folder.

    Raises:
        SettingsError: there is no such repository, revision or file, or it asks for a login.
        MachineError: not in the cache, and the hub cannot be reached; or its client is not installed.
    """
    client = needed("huggingface_hub", "hf")
    trouble = needed("huggingface_hub.errors", "hf")
    alone = _cache_only.get() or not _reachable(needed("huggingface_hub.constants", "hf").ENDPOINT)
    try:
        return Path(client.hf_hub_download(repository, name, revision=revision, local_files_only=alone))
    except trouble.GatedRepoError:
        raise SettingsError(
            f"{repository}: is given only to those who accepted its terms. Accept them on its page, then "
            "`hf auth login`."
        ) from None
    except (trouble.RepositoryNotFoundError, trouble.RevisionNotFoundError, trouble.HFValidationError):
        at = f" with a commit {revision}" if revision else ""
        raise SettingsError(
            f"{repository}{at}: there is no such repository on the hub, nor a folder here."
        ) from None
    except trouble.RemoteEntryNotFoundError:
        raise SettingsError(f"{repository}: has no file {name}.") from None
    except (trouble.LocalEntryNotFoundError, trouble.OfflineModeIsEnabled, trouble.HTTPError):
        at = f" --revision {revision}" if revision else ""
        raise MachineError(
            f"{repository}/{name}: is not in the cache, and the hub cannot be reached. Where there is a network: "
            f"`hf download {repository}{at} --local-dir FOLDER`; then here {then}."
        ) from None
    except OSError as error:
        raise MachineError(f"{repository}/{name}: cannot be kept in the cache of the hub: {error}.") from None


@lru_cache(maxsize=1)
def _reachable(endpoint: str) -> bool:
    """Whether there is a way to the hub at all: the client itself tries for half a minute, line by line."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # the proxy knows the way
    place = urlsplit(endpoint)
    port = place.port or (80 if place.scheme == "http" else 443)
    try:
        socket.create_connection((place.hostname or "", port), timeout=_TIMEOUT).close()
    except OSError:
        return False
    return True


def fetch_optional(repository: str, name: str, revision: str | None = None) -> Path | None:
    """As `fetch`; None where the repository has no such file, or nobody can tell."""
    try:
        return fetch(repository, name, revision)
    except (SettingsError, MachineError):
        return None


def cached(repository: str, name: str, revision: str | None = None) -> Path | None:
    """The file where it is in the cache; the hub is not asked."""
    client = needed("huggingface_hub", "hf")
    path = client.try_to_load_from_cache(repository, name, revision=revision)
    return Path(path) if isinstance(path, str) else None


def commit_of(path: Path) -> str | None:
    """The commit that a cached file belongs to: the cache keeps it as snapshots/COMMIT/NAME."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None
