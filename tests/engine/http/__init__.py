"""Tests of the HTTP core, mostly with raw sockets."""
