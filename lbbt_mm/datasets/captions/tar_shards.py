"""Images and captions in webdataset's tar shards; images are read from where they lie in the shards."""
import json
import tarfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from .caption_set import CaptionSet, TarMember

#: Members of a sample: the first of each that is there is taken.
_IMAGES = ('jpg', 'jpeg', 'png', 'webp', 'bmp', 'gif', 'tif', 'tiff')
_CAPTIONS = ('txt', 'caption', 'json')
_LARGEST_CAPTION = 1 << 20
_NO_PACKAGE = ("the package webdataset is not installed, which says what a sample in tar shards is. Install it: pip install "
               "'lbbt_mm[captions]'")


def find_shards(where: str) -> List[Path]:
    """Shards of a folder, or of a name with braces.

    Args:
        where: A tar file, a folder that holds tar files, or ``shards/{00000..00331}.tar``.

    Raises:
        FileNotFoundError: If one is not there.
    """
    path = Path(where).expanduser()
    if path.is_dir():
        found = sorted(path.glob('*.tar'))
    elif path.exists() or '{' not in where:
        found = [path]
    else:
        try:
            from braceexpand import braceexpand
        except ImportError:
            raise ImportError(_NO_PACKAGE) from None
        found = list(map(Path, braceexpand(str(path))))
    absent = next((shard for shard in found if not shard.is_file()), None)
    if absent or not found:
        raise FileNotFoundError(f'{absent or where}: {"no such shard" if absent else "holds no .tar"}; expected shards of '
                                'webdataset. Correct the path.')
    return found


def read_shards(where: str) -> CaptionSet:
    """Read where images lie, and their captions, from the shards' members; no image is read.

    A sample's image is its member of an image format; its caption the text in ``.txt`` or ``.caption``, or ``caption`` in
    ``.json``, one text or a list. A key is the shard's name and the sample's.

    Args:
        where: As :func:`find_shards` takes it.

    Raises:
        FileNotFoundError: If a shard is not there.
        ImportError: If the package webdataset is not installed.
        ValueError: If a shard is damaged or compressed, or a sample has no image or no caption.
    """
    try:
        from webdataset.tariterators import group_by_keys
    except ImportError:
        raise ImportError(_NO_PACKAGE) from None
    keys, captions, images = [], [], []
    for shard in find_shards(where):
        try:
            samples = list(group_by_keys(_members(shard)))
        except (tarfile.TarError, EOFError) as error:
            raise ValueError(f'{shard}: is not a complete, uncompressed tar archive ({error!s:.120}). Unpack its '
                             'compression, or fetch it again.') from None
        except ValueError as error:  # webdataset's, of a member that is there twice
            raise ValueError(f'{shard}: {error.args[0]!s:.160}. Correct the shard.') from None
        for sample in samples:
            image, texts = _parts(shard, sample)
            keys.append(f'{shard.stem}/{sample["__key__"]}')
            images.append(image)
            captions.append(texts)
    if not keys:
        raise ValueError(f'{where}: holds no samples; expected images and captions. Give other shards.')
    if len(set(keys)) < len(keys):
        seen: set = set()
        twice = next(key for key in keys if key in seen or seen.add(key))
        raise ValueError(f'{where}: the sample {twice} is there twice; expected names that differ. Rename one.')
    return CaptionSet(where, keys, captions, images)


def _members(shard: Path) -> Iterator[Dict[str, Any]]:
    """Files of a shard as webdataset hands them on, with the place of an image instead of its content."""
    with tarfile.open(shard, 'r:') as archive:  # plain only: in a compressed one nothing has a place
        for member in archive:
            if not member.isreg() or member.name.startswith('__'):  # webdataset's own notes
                continue
            if member.issparse():
                raise ValueError(f'{member.name} is stored sparsely; expected plain files')
            content: Any = TarMember(shard, member.name, member.offset_data, member.size)
            if member.name.lower().endswith(tuple(f'.{ending}' for ending in _CAPTIONS)):
                if member.size > _LARGEST_CAPTION:
                    raise ValueError(f'{member.name} has {member.size:,} bytes, more than a caption may have')
                content = archive.extractfile(member).read()
            yield dict(fname=member.name, data=content, __url__=str(shard))
            archive.members = []  # it would keep them all
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # the module takes a cut for the end
            raise EOFError('it breaks off')


def _parts(shard: Path, sample: Dict[str, Any]) -> Tuple[TarMember, List[str]]:
    """Image and captions of a sample."""
    name = f'{shard}: the sample {sample["__key__"]!r:.120}'
    image = next((sample[ending] for ending in _IMAGES if ending in sample), None)
    if image is None:
        raise ValueError(f'{name} has no image; expected a member called {", ".join(f".{ending}" for ending in _IMAGES)}. '
                         'Leave it out.')
    ending = next((ending for ending in _CAPTIONS if ending in sample), None)
    try:
        texts = _texts(ending, sample[ending]) if ending else []
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValueError(f'{name}: its .{ending} cannot be read ({error!s:.120}); expected UTF-8. Correct it.') from None
    if not texts or not all(texts):
        raise ValueError(f'{name} has {"an empty" if texts else "no"} caption; expected a text in .txt, or caption in '
                         '.json. Leave it out, or correct it.')
    return image, texts


def _texts(ending: str, content: bytes) -> List[str]:
    if ending != 'json':
        return [content.decode('utf-8').strip()]
    found = json.loads(content)
    found = found.get('caption') if isinstance(found, dict) else None
    found = found if isinstance(found, list) else [found]
    return [text.strip() if isinstance(text, str) else '' for text in found if text is not None]
