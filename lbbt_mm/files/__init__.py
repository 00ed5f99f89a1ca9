"""What crosses the border: files of others, opened without running them; files of ours, written whole."""
