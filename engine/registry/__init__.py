"""The private registry: the OCI distribution spec over the content store."""
