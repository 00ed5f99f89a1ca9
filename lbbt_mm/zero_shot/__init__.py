"""A frozen vision model and a frozen language model, tied: features, and what is done with them by tools."""
