"""Make your own weights: `python -m training.self_reconstruction --help`."""
