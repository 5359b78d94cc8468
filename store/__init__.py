"""Digest -> bytes; layers, snapshots, images, references, cache records, registries."""
