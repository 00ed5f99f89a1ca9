"""A page of figures and tables in one HTML file: nothing is loaded from elsewhere, and nothing runs."""
import base64
import os
import re
from html import escape
from pathlib import Path
from typing import List, NamedTuple, Sequence, Tuple

import pandas as pd

from .numbers import shown

#: A CSV file is put into the page up to this size, in bytes.
_LARGEST_CSV = 2**21
#: Rows that a table has at most to be shown at once.
_LONG = 24
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1, h2 { line-height: 1.2; }
h2 { margin-top: 3rem; border-top: 1px solid #ccc; padding-top: 1rem; }
nav ul { columns: 2; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.8rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0.3rem 0; color: #555; }
th, td { padding: 0.15rem 0.6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th.text, td.text { text-align: left; }
th { border-bottom: 2px solid #888; }
.note { border-left: 4px solid #E69F00; padding-left: 0.7rem; }
.missing { border-left: 4px solid #D55E00; padding-left: 0.7rem; }
@media (max-width: 40rem) { nav ul { columns: 1; } }
"""


class Shown(NamedTuple):
    """A section of the page.

    Attributes:
        name: What its address in the page is called.
        title: Its heading.
        says: What it shows and what it does not.
        figures: Pictures, PNG files.
        tables: Titles and tables.
        numbers: CSV files to hand out.
        notes: What is to be known of what is missing in it.
        missing: Why there is no such section; empty where there is.
        sentences: What follows from the numbers.
    """
    name: str
    title: str
    says: str
    figures: Sequence[Path] = ()
    tables: Sequence[Tuple[str, pd.DataFrame]] = ()
    numbers: Sequence[Path] = ()
    notes: Sequence[str] = ()
    missing: str = ''
    sentences: Sequence[str] = ()


def make_page(title: str, about: Sequence[str], sections: Sequence[Shown], missing: Sequence[str] = (),
              folder: Path = Path()) -> str:
    """The text of the page.

    Args:
        title: Its heading.
        about: Paragraphs below it.
        sections: What it has.
        missing: What else could not be made, a sentence each.
        folder: Where the page will be, from where it says how to find files that are not inside it.
    """
    links = ''.join(f'<li><a href="#{escape(section.name)}">{escape(section.title)}</a></li>' for section in sections)
    missing = [f'{section.title}: {section.missing}' for section in sections if section.missing] + list(missing)
    last = ''
    if missing:
        links += '<li><a href="#missing">What could not be made</a></li>'
        last = f'<section id="missing"><h2>What could not be made</h2>{_list(missing)}</section>\n'
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
            f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head>\n<body>\n<header><h1>{escape(title)}</h1>\n'
            + ''.join(f'<p>{escape(paragraph)}</p>\n' for paragraph in about)
            + f'<nav aria-label="Contents"><ul>{links}</ul></nav></header>\n<main>\n'
            + ''.join(_section(section, folder) for section in sections) + last + '</main>\n</body></html>\n')


def _section(section: Shown, folder: Path) -> str:
    parts = [f'<section id="{escape(section.name)}"><h2>{escape(section.title)}</h2>', f'<p>{escape(section.says)}</p>']
    if section.missing:
        parts.append(f'<p class="missing">Not made: {escape(section.missing)}</p>')
    parts += [f'<p class="note">{escape(note)}</p>' for note in section.notes]
    parts += [_figure(path, section.title) for path in section.figures]
    parts += [table(frame, title) for title, frame in section.tables]
    parts += [_list(section.sentences)] if section.sentences else []
    large = [path for path in section.numbers if path.stat().st_size > _LARGEST_CSV]
    links = [_download(path) for path in section.numbers if path not in large]
    parts += [f'<p>All numbers: {", ".join(links)}</p>'] if links else []
    parts += [f'<p class="note">{escape(_elsewhere(path, folder))}</p>' for path in large]
    return '\n'.join(parts) + '\n</section>\n'


def _list(sentences: Sequence[str]) -> str:
    return f'<ul>{"".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)}</ul>'


def _figure(path: Path, title: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    text = f'{title}: {path.stem.replace("_", " ")}'
    return f'<figure><img alt="{escape(text)}" src="data:image/png;base64,{data}"></figure>'


def _elsewhere(path: Path, folder: Path) -> str:
    """Says of a file that is not inside the page where it lies."""
    size, most = path.stat().st_size / 2**20, _LARGEST_CSV / 2**20
    return (f'{path.name} ({size:.1f} MiB) is too large to be inside this page, which takes files of up to {most:g} MiB. '
            f'From the folder of the page it lies at {os.path.relpath(path, folder)}.')


def _download(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<a download="{escape(path.name)}" href="data:text/csv;base64,{data}">{escape(path.name)}</a>'


def table(frame: pd.DataFrame, title: str) -> str:
    """A table as HTML, which scrolls where it is wider than the page, and is folded up where it is long.

    Args:
        frame: Its cells; columns of text are aligned to the left.
        title: What it is about.
    """
    kinds = [' class="text"' if _is_text(column) else '' for _, column in frame.items()]  # two may have one name
    head = ''.join(f'<th scope="col"{kind}>{escape(str(name))}</th>' for name, kind in zip(frame, kinds))
    rows: List[str] = []
    for row in frame.itertuples(index=False):
        cells = ''.join(f'<td{kind}>{escape(shown(value))}</td>' for value, kind in zip(row, kinds))
        rows.append(f'<tr>{cells}</tr>')
    text = (f'<div class="table" tabindex="0" role="region" aria-label="{escape(title)}"><table>'
            f'<caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>')
    return text if len(rows) <= _LONG else f'<details><summary>{escape(title)}: {len(rows)} rows</summary>{text}</details>'


def _is_text(column: pd.Series) -> bool:
    """Whether a column has texts that are no numbers, with what stands around these: ``0.32 ± 0.02 (0.03)``, ``-``."""
    number = re.compile(r'-|[-+]?[\d.,]+(e[-+]?\d+)?%?([ \[(±].*)?')
    return any(isinstance(value, str) and not number.fullmatch(value) for value in column)
