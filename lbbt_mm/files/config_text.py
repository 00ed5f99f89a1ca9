"""Reads a config's text as values, without running it: that of a checkpoint may be anybody's."""
import ast
from typing import Any, Dict, Optional


def read_config_text(text: Any) -> Optional[Dict[str, Any]]:
    """The values that the text of a resolved config assigns, as mmengine writes it into checkpoints.

    Args:
        text: Assignments of literals and ``dict(...)`` calls. What is neither is kept as its own text.

    Returns:
        dict | None: Name -> value, tuples as lists; None if it is no such text.
    """
    if not isinstance(text, str):
        return None
    try:
        tree = ast.parse(text)
        return {statement.targets[0].id: _value(statement.value) for statement in tree.body
                if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {str(_value(key)): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        parts = [*map(_value, node.args), {keyword.arg: _value(keyword.value) for keyword in node.keywords if keyword.arg}]
        if all(isinstance(part, dict) for part in parts) and all(keyword.arg for keyword in node.keywords):
            return {key: value for part in parts for key, value in part.items()}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand)
        if isinstance(value, (int, float)):
            return -value
    return ast.unparse(node)
