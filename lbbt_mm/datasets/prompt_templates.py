"""Templates around names of classes, such as CLIP's 80, and the prompts that they make."""
from os import PathLike, fspath
from pathlib import Path
from typing import List, Sequence, Union

from .class_names import read_lines
from .clip_benchmark import SCHEME, TEMPLATES, read_list

#: Where the name goes; the second is what the package clip-benchmark writes.
SLOTS = ('{}', '{c}')
#: What the public code of "Better Language Models Exhibit Higher Visual Alignment" puts around names (arXiv 2410.07173).
DEFAULT = 'A photo of a {}'
TemplateSource = Union[str, PathLike, Sequence[str]]


def read_templates(source: TemplateSource) -> List[str]:
    """Templates.

    Args:
        source: A list of them; one, with ``{}`` where the name goes; a text file with one on each line; or
            ``clip-benchmark:DATASET[:LANGUAGE]``: ``clip-benchmark:imagenet1k`` has CLIP's 80.

    Returns:
        list: Templates, each with ``{}``.

    Raises:
        ImportError: If the package is not installed.
        ValueError: If one has no place for the name, or there is none.
    """
    if isinstance(source, (list, tuple)):
        where, found = 'the list of templates', list(source)
    else:
        where = fspath(source)
        if where.startswith(SCHEME):
            found = read_list(where, TEMPLATES)
        elif Path(where).expanduser().is_file():
            found = read_lines(where, 'a template')
        else:
            where, found = 'templates', [where]
    odd = next((template for template in found if not isinstance(template, str) or not _has_slot(template)), None)
    if odd is not None or not found:
        raise ValueError(f'{where}: {odd!r:.80} has no place for the name of a class, and is no file; expected {{}} where '
                         'it goes. Add it.' if found else f'{where}: has no templates; expected one at least.')
    return list(map(_plain, found))


def class_prompts(names: Sequence[str], templates: Sequence[str]) -> List[str]:
    """Every name in every template, class by class.

    Args:
        names: C names.
        templates: T templates with ``{}``, as :func:`read_templates` gives them.

    Returns:
        list: C x T prompts.
    """
    return [template.replace('{}', name) for name in names for template in templates]


def _has_slot(template: str) -> bool:
    return any(slot in template for slot in SLOTS)


def _plain(template: str) -> str:
    return template.replace('{c}', '{}')
