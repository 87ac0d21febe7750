"""The service: who owns what, and the loop that supervises it."""

from jobscheduler.claim import CannotStart
from jobscheduler.service.serving import serve

__all__ = ["CannotStart", "serve"]
