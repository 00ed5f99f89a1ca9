"""One training in a process of its own: asked for, started, resumed, followed, recorded."""
