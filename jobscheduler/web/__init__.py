"""The read-only page, metrics and health on `--http`. Needs the extra `web`, of which nothing is imported here."""

from jobscheduler.web.server import Web
from jobscheduler.web.setup import CannotServe, token_for
from jobscheduler.web.view import Face

__all__ = ["CannotServe", "Face", "Web", "token_for"]
