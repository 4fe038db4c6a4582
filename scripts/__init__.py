"""What makes files of this repository, or of a release, from others: run from its root as `python -m scripts.NAME`."""
