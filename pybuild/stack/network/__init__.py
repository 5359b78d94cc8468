"""The commands of `pyup network`: one file each, with `USAGE` and `main`."""
