"""Compose file -> running containers, networks, volumes."""
