"""Dockerfile text -> typed tree with positions; checks."""
