"""What runs a training, all of it registered: hooks, loops and optimizer wrappers."""
