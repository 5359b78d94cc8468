"""A project as the runner wants it: frozen values, long forms only, every path absolute, every size in bytes."""
