"""Opens pages in a headless Chromium, by its own command line: whether pictures are whole, and what the console says."""
import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import List, NamedTuple, Optional, Tuple

_NAMES = ('chromium', 'chromium-browser', 'google-chrome')
_OPTIONS = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
            '--disable-background-networking', '--disable-component-update', '--disable-sync', '--hide-scrollbars',
            '--enable-logging=stderr', '--v=0')
#: Added to a copy of the page: says of each picture how wide the browser found it, which is 0 for a broken one.
_PROBE = '''<script>addEventListener('load', () => document.documentElement.setAttribute('data-seen', JSON.stringify(
[...document.images].map(image => [image.alt, image.naturalWidth]))))</script>'''


class Seen(NamedTuple):
    """What a browser makes of a page.

    Attributes:
        images: Of each picture its text and its width in pixels, 0 for a broken one.
        console: Lines of the console: errors of scripts, and what the browser refuses or warns of.
        requests: Addresses that the page would load from elsewhere.
    """
    images: List[Tuple[str, int]]
    console: List[str]
    requests: List[str]


def find_browser() -> Optional[str]:
    """The program; None where there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


def look_at(page: Path, folder: Path) -> Seen:
    """Open a page as it is, for the console, and a copy that says what became of its pictures.

    Args:
        page: The page.
        folder: For the copy, and for what the browser keeps.
    """
    copy = folder / f'probed-{page.name}'
    copy.write_text(page.read_text() + _PROBE)
    console = re.findall(r':CONSOLE[:(]\d+\)?\] (.*)', _open(page, folder, '--dump-dom').stderr)
    found = re.search(r'data-seen="([^"]*)"', _open(copy, folder, '--dump-dom').stdout)
    assert found, 'the page did not load'
    sources = re.findall(r'(?:src|href)="([^"]*)"', page.read_text())
    elsewhere = [source for source in sources if not source.startswith(('data:', '#'))]
    return Seen([tuple(pair) for pair in json.loads(unescape(found.group(1)))], console, elsewhere)


def take_picture(page: Path, picture: Path, width: int = 1100, height: int = 4000) -> None:
    """Write a PNG of the top of a page."""
    _open(page, picture.parent, f'--window-size={width},{height}', f'--screenshot={picture}')


def _open(page: Path, folder: Path, *options: str) -> subprocess.CompletedProcess:
    profile = folder / 'profile'
    shutil.rmtree(profile, ignore_errors=True)
    command = [find_browser(), *_OPTIONS, f'--user-data-dir={profile}', *options, page.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
