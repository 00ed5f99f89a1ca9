"""An error while a sample is loaded names the sample's files."""
from typing import Any, Dict, Optional

from mmengine.dataset import Compose
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lbbt_mm.datasets.dataset_view import nested_datasets
from lbbt_mm.errors import UserError
from lbbt_mm.mmengine_internals import built_loops
from lbbt_mm.registry import HOOKS

#: Where samples say which files they are.
_FILES = ('img_path', 'seg_map_path')


class LoadingError(UserError, RuntimeError):
    """A sample could not be loaded; the message names its files."""


class NamingCompose(Compose):
    """A pipeline that says of which files a sample is when a transform fails.

    Args:
        compose: The pipeline, whose transforms it takes over.
    """

    def __init__(self, compose: Compose) -> None:
        self.transforms = compose.transforms

    def __call__(self, data: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        """Run the transforms, as mmengine's pipeline does."""
        files = [str(data[key]) for key in _FILES if isinstance(data, dict) and data.get(key)]
        for transform in self.transforms:
            try:
                data = transform(data)
            except Exception as error:
                if not files or isinstance(error, LoadingError):
                    raise
                found = f'{type(error).__name__}: {" ".join(str(error).split())}'
                raise LoadingError(f'{" with ".join(files)}: {type(transform).__name__} failed on it: {found}. Replace the '
                                   'file, or take it out of the data set; tools/check_data.py CONFIG looks at all of '
                                   'them.') from error
            if data is None:
                return None
        return data


@HOOKS.register_module()
class NamedFilesHook(Hook):
    """Have errors in the pipelines of a run's data sets name the files.

    Decoders say of an empty file that a buffer is empty. ``tools/train.py`` and ``tools/test.py`` add this hook.
    """

    def before_run(self, runner: Runner) -> None:
        """Take the data sets of all loops, which are built by now."""
        for loop in built_loops(runner):
            for dataset in nested_datasets(getattr(loop.dataloader, 'dataset', None)):
                if type(getattr(dataset, 'pipeline', None)) is Compose:
                    dataset.pipeline = NamingCompose(dataset.pipeline)
