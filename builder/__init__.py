"""Dockerfile stages -> image in the store."""
