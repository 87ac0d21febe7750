"""Run a task of any type, with the record, when a job begins to fail, is overdue, or works again."""

from jobscheduler.alerts.alert_test import AlertTests, NoAlert
from jobscheduler.alerts.defaults import AlertConfigError, read_defaults
from jobscheduler.alerts.dispatcher import AlertDispatcher
from jobscheduler.alerts.observer import AlertObserver
from jobscheduler.alerts.payload import build_payload
from jobscheduler.alerts.pending_alert import AlertEnd, PendingAlert
from jobscheduler.alerts.rules import AlertKind, Circumstances, DefaultAlerts, ResultChange
from jobscheduler.alerts.sender_pool import AlertSenderPool

__all__ = [
    "AlertConfigError",
    "AlertDispatcher",
    "AlertEnd",
    "AlertKind",
    "AlertObserver",
    "AlertSenderPool",
    "AlertTests",
    "Circumstances",
    "DefaultAlerts",
    "NoAlert",
    "PendingAlert",
    "ResultChange",
    "build_payload",
    "read_defaults",
]
