"""The read-only pages, metrics and health on `--http`. They need the extra `web`, which is not imported here."""

from jobscheduler.web.server import WebServer
from jobscheduler.web.setup import WebConfigError, load_token
from jobscheduler.web.view import ServiceView

__all__ = ["ServiceView", "WebConfigError", "WebServer", "load_token"]
