"""Files of a hub repository, through huggingface_hub's cache."""
import logging
import re
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, List, Optional

from .errors import CheckpointError, UnreachableError
from .file_names import check_file_name

FetchFile = Callable[[str], Path]
#: What huggingface_hub logs of each try that failed has this in it.
_FAILED = ' thrown while requesting '


def hub_fetcher(repo_id: str, revision: Optional[str] = None) -> FetchFile:
    """A function that downloads files of a hub repository through huggingface_hub's cache.

    The first file settles the commit; all others come from the same one, whatever is pushed meanwhile, and those that
    the cache has (or knows to be absent) are not asked for again. Of a hub that could not be reached no further files are
    asked: they come from the cache.

    Args:
        repo_id: For example ``openai-community/gpt2``.
        revision: Branch, tag or commit.

    Returns:
        Callable: ``fetch(file) -> path``; raises FileNotFoundError for a file that the repository does not have and
        CheckpointError where the repository itself cannot be reached.
    """
    from huggingface_hub import _CACHED_NO_EXIST, errors, hf_hub_download, try_to_load_from_cache
    where = repo_id + (f' at revision {revision!r}' if revision else '')
    commit, cause = None, ''

    def fetch(file: str) -> Path:
        """Download one file."""
        nonlocal commit, cause
        try:
            check_file_name(file)
        except ValueError as error:
            raise CheckpointError(f'{where}: {error}; expected the name of a file of that repository. Correct '
                                  'language.checkpoint.') from None
        if commit and try_to_load_from_cache(repo_id, file, revision=commit) is _CACHED_NO_EXIST:
            raise FileNotFoundError(f'{where}/{file}')
        retries: List[str] = []
        try:
            with _retries_in_a_line(where, retries):
                path = Path(hf_hub_download(repo_id, file, revision=commit or revision, local_files_only=bool(cause)))
        except (errors.HfHubHTTPError, errors.EntryNotFoundError, errors.HFValidationError, OSError) as error:
            raise _explain(error, where, file, cause) from None
        finally:
            if retries and _FAILED in retries[-1]:  # none followed
                said = retries[-1].partition(_FAILED)[0]
                cause = (re.findall(r'\w+(?:Error|Timeout)\b', said) or [said[:80]])[-1]
        commit = path.parents[file.count('/')].name  # the cache keeps files under snapshots/<commit>
        return path

    return fetch


@contextmanager
def _retries_in_a_line(where: str, retries: List[str]) -> Iterator[None]:
    """huggingface_hub says at length each time that it asks again, for about half a minute; what it says is kept."""
    logger = logging.getLogger('huggingface_hub.utils._http')

    def is_first(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if _FAILED not in message and not message.startswith('Retrying in'):
            return True
        retries.append(message)
        record.msg, record.args = f'{where}: the hub does not answer; it is asked again for about half a minute.', ()
        return len(retries) == 1

    logger.addFilter(is_first)
    try:
        yield
    finally:
        logger.removeFilter(is_first)


def _explain(error: Exception, where: str, file: str, known: str = '') -> Exception:
    """What to tell the user of an error of huggingface_hub's."""
    from huggingface_hub import errors
    reason = str(error).strip().split('\n')[0]
    if isinstance(error, errors.LocalEntryNotFoundError):
        cause = type(error.__cause__).__name__ if error.__cause__ else known or 'no connection'
        return UnreachableError(
            f'{where}: neither a local path nor in the cache ({file} is missing), and the hub cannot be reached '
            f'({cause}). Check the name and the network, or give language.checkpoint a folder that holds the '
            'model; building and testing need only language.config.')
    if isinstance(error, errors.EntryNotFoundError):
        return FileNotFoundError(f'{where}/{file}')
    if isinstance(error, errors.GatedRepoError):
        found = 'is gated. Accept its licence on the hub and log in (hf auth login), or choose an open model'
    elif isinstance(error, errors.RevisionNotFoundError):
        found = 'the hub has the model but not this revision. Correct language.revision'
    elif isinstance(error, (errors.RepositoryNotFoundError, errors.HFValidationError)):
        found = (f'the hub has no such model, and no such file or folder is here ({reason}). Correct language.checkpoint; '
                 'if the model is private, log in with a token that may read it (hf auth login)')
    elif isinstance(error, errors.LocalTokenNotFoundError) or getattr(
            getattr(error, 'response', None), 'status_code', None) in (401, 403):
        found = (f'the hub does not accept your token for {file}. Log in again (hf auth login), or remove HF_TOKEN from the '
                 'environment; public models need none')
    else:
        found = (f'the hub did not give {file} ({type(error).__name__}: {reason}). Check the network, or give '
                 'language.checkpoint a folder that holds the model')
    return CheckpointError(f'{where}: {found}.')


def hub_files(repo_id: str, revision: Optional[str] = None) -> List[str]:
    """Names of a repository's files; empty where the hub cannot be asked."""
    from huggingface_hub import errors, list_repo_files
    try:
        return list_repo_files(repo_id, revision=revision)
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError, ValueError):
        return []
