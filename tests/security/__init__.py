"""Attacks: each is made for real, by the test itself, and must leave the host untouched, end soon, and say one clear line (test_rows.py lists them)."""
