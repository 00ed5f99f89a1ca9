"""mmengine's loaders of checkpoints by name and address, replaced by ones that run no code from what they load."""
import os
import sys
from http.client import HTTPException
from typing import Any, Callable, NamedTuple
from urllib.parse import urlparse

import torch
from mmengine import fileio
from mmengine.dist import get_dist_info
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from lbbt_mm.mmengine_internals import backbone_of_mmcls, checkpoint_loaders, home_folder
from .checkpoint_files import keep_config_as_text, load_checkpoint_bytes, load_checkpoint_safely


class SafeLoaders(NamedTuple):
    """One loader for each way in which mmengine and its codebases name a checkpoint.

    All of ``load_from``, resuming, ``init_cfg`` of type ``Pretrained``, ``pretrained=`` and FlexibleRunner's strategies for
    one device, DDP and FSDP go through ``CheckpointLoader``; after :meth:`register` they go through here.

    Args:
        trust: Whether the user vouches for the files, which are then unpickled and may run code.
    """

    trust: bool

    def register(self) -> None:
        """Take the place of mmengine's loaders, for the whole process; those of other code get their config's text set
        aside.
        """
        own = {
            '': self.load_from_local,
            **dict.fromkeys(('http://', 'https://'), self.load_from_http),
            **dict.fromkeys(('modelzoo://', 'torchvision://'), self.load_from_torchvision),
            **dict.fromkeys(('open-mmlab://', 'openmmlab://'), self.load_from_openmmlab),
            'mmcls://': self.load_from_mmcls,
            **dict.fromkeys((r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), self.load_from_storage),
            'pavi://': self.load_from_pavi,
        }
        for scheme, loader in list(checkpoint_loaders().items()):
            if scheme not in own and not hasattr(loader, 'without_config'):
                own[scheme] = _without_config(loader)
        for scheme, loader in own.items():
            CheckpointLoader.register_scheme(scheme, loader, force=True)

    def load_from_local(self, filename: str, map_location: Any = None) -> dict:
        """Load a local file."""
        return load_checkpoint_safely(filename, map_location, self.trust)

    def load_from_http(self, filename: str, map_location: Any = None) -> dict:
        """Load a file from the network, which torch's cache keeps."""
        rank, world_size = get_dist_info()
        path = _download(filename) if rank == 0 else None
        if world_size > 1:
            torch.distributed.barrier()
        return self.load_from_local(path or _download(filename), map_location)

    def load_from_torchvision(self, filename: str, map_location: Any = None) -> dict:
        """Load torchvision's weights by their model's name."""
        models = mmengine_checkpoint.get_torchvision_models()
        return self.load_from_http(_find(models, filename), map_location)

    def load_from_openmmlab(self, filename: str, map_location: Any = None) -> dict:
        """Load one of OpenMMLab's models, or of the user's own list in mmengine's home folder."""
        renamed = mmengine_checkpoint.get_deprecated_model_names()
        name = filename.split('://', 1)[1]
        found = _find(mmengine_checkpoint.get_external_models(), f'open-mmlab://{renamed.get(name, name)}')
        if found.startswith(('http://', 'https://')):
            return self.load_from_http(found, map_location)
        return self.load_from_local(os.path.join(home_folder(), found), map_location)

    def load_from_mmcls(self, filename: str, map_location: Any = None) -> dict:
        """Load the backbone of one of mmpretrain's models."""
        loaded = self.load_from_http(_find(mmengine_checkpoint.get_mmcls_models(), filename), map_location)
        return backbone_of_mmcls(loaded)

    def load_from_storage(self, filename: str, map_location: Any = None) -> dict:
        """Load a file from an object store."""
        content = fileio.get(filename, backend_args=dict(backend='petrel'))
        return load_checkpoint_bytes(content, filename, map_location, self.trust)

    def load_from_pavi(self, filename: str, map_location: Any = None) -> dict:
        """Refuse: nothing reads this scheme safely."""
        raise ValueError(f'{filename}: checkpoints of pavi are not loaded. Download the file and give its path.')


def _without_config(loader: Callable) -> Callable:

    def load_from_other_scheme(filename: str, map_location: Any = None) -> Any:
        loaded = loader(filename, map_location)
        keep_config_as_text(loaded)
        return loaded

    load_from_other_scheme.without_config = True
    return load_from_other_scheme


def _find(models: dict, filename: str) -> str:
    name = filename.split('://', 1)[1]
    if name not in models:
        raise ValueError(f'{filename}: no such model; expected one of {len(models)}, for example {next(iter(models))}. '
                         'Correct the name, or give the path of a file.')
    return models[name]


def _download(url: str) -> str:
    """Where torch keeps what it has downloaded; the file is whole or not there."""
    folder = os.path.join(torch.hub.get_dir(), 'checkpoints')
    name = os.path.basename(urlparse(url).path)
    if not name:
        raise ValueError(f'{url}: names no file. Give the address of a .pth file.')
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        sys.stderr.write(f'Downloading: "{url}" to {path}\n')
        try:
            torch.hub.download_url_to_file(url, path, progress=sys.stderr.isatty())
        except (OSError, HTTPException) as error:  # urllib's errors among them
            reason = getattr(error, 'reason', None) or error
            raise ConnectionError(f'{url}: cannot be fetched ({reason}). Expected a network, or that file at {path}: put it '
                                  'there, or give the path of your copy in its place.') from None
    return path
