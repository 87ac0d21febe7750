"""The service: who owns what, and the loop that supervises it."""

from jobscheduler.service.main import serve
from jobscheduler.service.startup import StartupError

__all__ = ["StartupError", "serve"]
