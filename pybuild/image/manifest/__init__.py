"""`pybuild manifest ..`: one name for images of several platforms."""
