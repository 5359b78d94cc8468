"""The .lark files, their compiled tables and the driver that runs them."""
