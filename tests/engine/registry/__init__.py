"""Tests of the registry server, by HTTP and by real clients."""
