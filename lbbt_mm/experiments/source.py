"""A language model that the arms of an experiment are made from."""
import argparse
import re
from typing import NamedTuple, Optional


class Source(NamedTuple):
    """One of them.

    Attributes:
        name: What folders and tables call it; empty where there is one only.
        checkpoint: Its hub id, folder or file; None for that of the config.
    """
    name: str = ''
    checkpoint: Optional[str] = None

    def label(self, arm: str) -> str:
        """What an arm made from it is called."""
        return f'{self.name}-{arm}' if self.name else arm

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
