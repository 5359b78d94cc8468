"""The commands of `pyup container`: one file each, with `USAGE` and `main`."""
