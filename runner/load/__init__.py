"""Compose files -> Project: YAML, interpolation, include, extends, merge, checks."""
