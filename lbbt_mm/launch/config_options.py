"""``--cfg-options``: values of a config on a command line, text as text."""
import json
import re
from argparse import Action, ArgumentParser, Namespace
from typing import Any, Optional, Sequence, Union

from lbbt_mm.mmengine_internals import parse_list, parse_number

#: Text that says the same with and without quotes.
_PLAIN = re.compile(r'[\w./:@+~-]+')


class ConfigOptions(Action):
    """mmengine's ``--cfg-options``, in which text keeps its spaces, and text in double quotes its commas and all else.

    mmengine takes spaces out and splits at commas, in paths too. Lists and tuples, and text that looks like a number, are
    read as mmengine reads them.
    """

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        text = _quoted(val)
        if text is not None:
            return text
        if re.search(r'[,()\[\]]', val):
            return parse_list(val)
        stripped = val.strip('\'"')
        value = parse_number(stripped.strip())
        return stripped if isinstance(value, str) else value

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: Union[str, Sequence[Any], None],
                 option_string: Optional[str] = None) -> None:
        """Add the options to the namespace."""
        odd = next((value for value in values or () if not re.match(r'[^=\s]', value) or '=' not in value), None)
        if odd is not None:
            parser.error(f'{option_string} {odd!r}: expected KEY=VALUE, without spaces around =')
        try:
            read = {key: self._parse_iterable(value) for key, value in (given.split('=', 1) for given in values or ())}
            setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), **read})
        except AssertionError as error:
            parser.error(f'{option_string}: {error}. Put text with brackets into double quotes: \'KEY="VALUE"\'')


def option(key: str, value: Any) -> str:
    """A setting as ``--cfg-options`` takes it, whatever characters its text has.

    Args:
        key: Dotted key of the config.
        value: Its value; what is no text is written by ``str``.
    """
    text = str(value)
    means_itself = _PLAIN.fullmatch(text) and ConfigOptions._parse_iterable(text) == text
    return f'{key}={text if means_itself else json.dumps(text, ensure_ascii=False)}'


def _quoted(val: str) -> Optional[str]:
    """The text of a value in double quotes; None for others, and for lists in quotes, which mmengine reads as lists."""
    if len(val) < 2 or val[0] != '"' or val[-1] != '"' or re.fullmatch(r'"(\(.*\)|\[.*\])"', val):
        return None
    try:
        return json.loads(val)
    except ValueError:
        return None
