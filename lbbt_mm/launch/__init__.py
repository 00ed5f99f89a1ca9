"""What the train and test tools add to a config and start. Light: ``--help`` imports this package."""
