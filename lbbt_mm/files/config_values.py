"""What is filled into a config's text before that text is run: it has to stay a value there."""
import ast
import io
import re
import tokenize
from functools import partial
from typing import Callable, Dict, Optional, Sequence, Set, Tuple

Filler = Tuple['re.Pattern[str]', Callable[['re.Match[str]'], Optional[str]]]


def check_values(text: str, fillers: Sequence[Filler], where: str, what: str,
                 escaped: bool = False) -> Set[str]:
    """Refuse a value that would end the string it is put into, or be more than a literal outside of one.

    Args:
        text: The config's text, with its places.
        fillers: Pairs of a place's pattern and the function that gives what a match is replaced by; None for what the
            config itself says.
        where: The config file.
        what: What the values are, for messages.
        escaped: Whether quotes in a value are escaped where it is put into a string.

    Returns:
        set[str]: The places that stand outside of strings, as the text has them.

    Raises:
        ValueError: If a value would be run as code.
    """
    found: Dict[str, Tuple[Optional[str], str]] = {}

    def put_stand_in(value_of: Callable, match: 're.Match[str]') -> str:
        token = f'lbbt_mm_value_{len(found)}_'
        found[token] = value_of(match), match[0]
        return token

    for pattern, value_of in fillers:
        text = pattern.sub(partial(put_stand_in, value_of), text)
    values = {token: value for token, (value, _) in found.items() if value is not None}
    if not values:
        return set()
    is_code = where.endswith('.py')
    names, quoted = (_names(text), _quoted(text)) if is_code else (set(), text)
    for token, value in values.items():
        if token in names:
            stays = _is_literal(value)
        else:
            ends = r'[\\\n\r{}]' if escaped and is_code else r'[\'"\\\n\r{}]'
            stays = not re.search(ends, value) if token in quoted else bool(re.fullmatch(r'\w*', value))
        if not stays:
            expected = 'a number or a list' if token in names else 'text without backslashes, braces and line ends' + (
                '' if escaped and is_code else ', and without quotes')
            raise ValueError(f'{where}: {what}, {value!r}, would be read as code at {found[token][1]}. Expected {expected}. '
                             'Correct it.')
    return {found[token][1] for token in names & found.keys()}


def _names(text: str) -> Set[str]:
    try:
        return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    except (SyntaxError, ValueError, RecursionError):
        return set()


def _quoted(text: str) -> str:
    """Text of strings and comments."""
    kinds = (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, 'FSTRING_MIDDLE', tokenize.STRING))
    try:
        return '\n'.join(token.string for token in tokenize.generate_tokens(io.StringIO(text).readline)
                         if token.type in kinds)
    except (tokenize.TokenError, SyntaxError):
        return ''


def _is_literal(value: str) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return False
    return not re.search(r'[\\\n\r{}]', value)
