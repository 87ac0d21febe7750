"""The read-only page, metrics and health on `--http`. Needs the extra `web`, of which nothing is imported here."""

from jobscheduler.web.server import WebServer
from jobscheduler.web.setup import WebConfigError, load_token
from jobscheduler.web.view import ServiceView

__all__ = ["ServiceView", "WebConfigError", "WebServer", "load_token"]
