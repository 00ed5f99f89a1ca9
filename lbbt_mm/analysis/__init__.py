"""Numbers about weights, features and gradients: tensors, state dicts and closures in, numbers out; no file, no runner."""
