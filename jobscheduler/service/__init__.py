"""The service: who owns what, and the loop that supervises it."""

from jobscheduler.service.errors import StartupError
from jobscheduler.service.main import serve

__all__ = ["StartupError", "serve"]
