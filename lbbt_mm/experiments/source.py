"""What the arms of an experiment are made from, and in which cell: what is compared with a baseline of its own."""
import argparse
import re
from typing import NamedTuple, Optional

from .cells import Cell


class Source(NamedTuple):
    """A language model with the other settings of a cell.

    Attributes:
        name: What folders and tables call the language model; empty where there is one only.
        checkpoint: Its hub id, folder or file; None for that of the config.
        cell: The settings.
    """
    name: str = ''
    checkpoint: Optional[str] = None
    cell: Cell = Cell()

    @property
    def title(self) -> str:
        """Language model and cell."""
        return '-'.join(filter(None, (self.cell.name, self.name)))

    def label(self, arm: str) -> str:
        """What an arm made from it is called."""
        return f'{self.title}-{arm}' if self.title else arm

    @classmethod
    def read(cls, text: str) -> 'Source':
        """Read ``NAME=CHECKPOINT``.

        Raises:
            argparse.ArgumentTypeError: If it is none, or the name cannot begin that of a folder.
        """
        name, _, checkpoint = text.partition('=')
        if not re.fullmatch(r'\w[\w.]*', name, re.ASCII) or not checkpoint:
            raise argparse.ArgumentTypeError(f'{text}: expected NAME=CHECKPOINT, for example NAME=HUB_ID or NAME=FILE.gguf')
        return cls(name, checkpoint)
