"""The faces: argv -> one call -> exit status."""
