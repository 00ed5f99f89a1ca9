"""Images with their captions, whatever file they come from."""
from pathlib import Path
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union


class TarMember(NamedTuple):
    """An image inside a tar shard, which is not unpacked.

    Attributes:
        path: The shard.
        name: What the shard calls it.
        start: Its first byte.
        size: How many bytes it has.
    """
    path: Path
    name: str
    start: int
    size: int

    def read(self) -> bytes:
        """Read its bytes.

        Raises:
            ValueError: If the shard was cut since it was opened.
        """
        with open(self.path, 'rb') as file:
            file.seek(self.start)
            content = file.read(self.size)
        if len(content) < self.size:
            raise ValueError(f'{self.path}: {self.name} is cut off; all of it was there when the shard was opened. Fetch '
                             'the shard again.')
        return content


class CaptionSet:
    """Images, each with one caption or several.

    Args:
        source: The file or folder that they come from, for messages.
        keys: What each image is called, no two alike.
        captions: Captions of each image.
        images: Where each image is.

    Attributes:
        keys, captions: As given.
    """

    def __init__(self, source: str, keys: List[str], captions: List[List[str]],
                 images: Sequence[Union[Path, TarMember]]) -> None:
        self.source, self.keys, self.captions, self._images = source, keys, captions, images

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def pairs(self) -> List[Tuple[str, str]]:
        """Key and caption, one pair a caption, in the order of the images."""
        return [(key, caption) for key, captions in zip(self.keys, self.captions) for caption in captions]

    def image(self, index: int) -> Union[Path, bytes]:
        """An image's file, or its content where it lies in a shard.

        Args:
            index: Which one.
        """
        found = self._images[index]
        return found.read() if isinstance(found, TarMember) else found

    def read(self, index: int) -> bytes:
        """An image file's content.

        Args:
            index: Which one.
        """
        found = self.image(index)
        return found if isinstance(found, bytes) else found.read_bytes()

    def check_images(self) -> None:
        """Look whether every image is there; none is opened.

        Raises:
            FileNotFoundError: If one is not.
        """
        absent = next((path for path in self._images if isinstance(path, Path) and not path.is_file()), None)
        if absent is not None:
            raise FileNotFoundError(f'{self.source}: the image {absent} is not there. Correct the path, or say with '
                                    '--images which folder paths are relative to.')


def grouped(source: str, pairs: Iterable[Tuple[str, str]], place: Callable[[str], Optional[Path]]) -> CaptionSet:
    """Put the captions of one image together; images are in the order in which they come first.

    Args:
        source: The file, for messages.
        pairs: Image, as the file names it, and caption.
        place: Gives an image's path.
    """
    captions: Dict[str, List[str]] = {}
    for image, caption in pairs:
        captions.setdefault(image, []).append(caption)
    return CaptionSet(source, list(captions), list(captions.values()), list(map(place, captions)))
