"""Loads the fixtures where tests run: what hands them out to other processes (``pytest -n``) need not import torch first."""
from tests import clean_environment  # noqa: F401  (before huggingface_hub is imported)


def pytest_configure(config) -> None:
    """Without xdist there is neither option nor attribute."""
    hands_out = config.getoption('numprocesses', None) and not hasattr(config, 'workerinput')
    if not hands_out:
        config.pluginmanager.import_plugin('tests.fixtures')
