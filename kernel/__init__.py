"""The Linux calls we make, as in their man pages; paths that cannot leave their root."""
