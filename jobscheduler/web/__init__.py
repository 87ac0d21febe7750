"""The read-only page, metrics and health on `--http`. Needs the extra `web`, of which nothing is imported here."""

from jobscheduler.web.admission import CannotServe, token_for
from jobscheduler.web.face import Face
from jobscheduler.web.server import Web

__all__ = ["CannotServe", "Face", "Web", "token_for"]
