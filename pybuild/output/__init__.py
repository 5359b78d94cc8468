"""What a person or a script reads: progress, tables, diagnostics, --format."""
