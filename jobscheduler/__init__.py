"""A job scheduler for Linux hosts: files in, runs out, an honest log."""

__version__ = "0.1.0"
