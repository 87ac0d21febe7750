"""Run a task of any type, with the record, when the result of a job changes."""

from jobscheduler.alerts.defaults import AlertConfigError, read_defaults
from jobscheduler.alerts.dispatcher import AlertDispatcher, DefaultAlerts
from jobscheduler.alerts.payload import build_payload
from jobscheduler.alerts.pending_alert import PendingAlert
from jobscheduler.alerts.rules import AlertKind, due_alert
from jobscheduler.alerts.sender_pool import AlertSenderPool

__all__ = [
    "AlertConfigError",
    "AlertDispatcher",
    "AlertKind",
    "AlertSenderPool",
    "DefaultAlerts",
    "PendingAlert",
    "build_payload",
    "due_alert",
    "read_defaults",
]
