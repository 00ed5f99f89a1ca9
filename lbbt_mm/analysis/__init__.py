"""Looks at what came out: tensors and tables in, numbers and figures out. Imports no mm codebase."""
