"""Leaves the layout of configs' texts as it comes: yapf takes up to half a second for each that a runner writes."""
from unittest import mock


def unformatted_configs():
    """A patch, in force between its ``start`` and ``stop`` or in a ``with``."""
    return mock.patch('yapf.yapflib.yapf_api.FormatCode', lambda text, **options: (text, True))
