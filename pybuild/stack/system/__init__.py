"""The commands of `pyup system`: one file each, with `USAGE` and `main`."""
