"""What the laws are tried with: attributes of a service that are as they may be, one a line, and the rest of a file around it."""

from pathlib import Path

SERVICE = Path(__file__).with_name("attributes.txt").read_text().splitlines()
REST = Path(__file__).with_name("rest.yaml").read_text()
