"""The build cache that travels: records, layers and cache mounts as OCI artifacts, in directories, registries, S3 and GitHub's cache."""
