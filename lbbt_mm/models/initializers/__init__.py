"""Steps of ``init_cfg``: how a model starts."""
