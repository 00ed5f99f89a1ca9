"""What runs a training: hooks, optimizer wrappers, and what the command-line tools share."""
