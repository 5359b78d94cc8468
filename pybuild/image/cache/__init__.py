"""`pybuild cache`: the build cache of this machine, and the ones elsewhere."""
