"""HTTP: the Engine API over builder and runner; the registry server over store."""
