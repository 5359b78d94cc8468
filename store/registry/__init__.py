"""Registries: names -> images in the store, and back; the distribution spec's client."""
