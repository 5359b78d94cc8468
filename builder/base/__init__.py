"""This machine -> a base image: what its programs need, made from its own files."""
