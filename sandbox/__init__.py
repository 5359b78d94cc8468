"""SandboxSpec -> isolated process; root, rootless and chroot modes."""
