"""The network keeper: one process per user and root directory that makes networks, names, ports and build steps' namespaces."""
