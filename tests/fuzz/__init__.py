"""A fuzzer of the language opener: what it is given is opened with the right values, or refused with a CheckpointError."""
