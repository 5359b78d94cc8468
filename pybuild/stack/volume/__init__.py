"""The commands of `pyup volume`: one file each, with `USAGE` and `main`."""
