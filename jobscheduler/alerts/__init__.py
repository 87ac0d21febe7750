"""Alerts on change: when the result of a job changes, a task of any type is run that gets the record."""

from jobscheduler.alerts.defaults import BadDefault, read_defaults
from jobscheduler.alerts.dispatcher import Alerts, Defaults
from jobscheduler.alerts.payload import alert_of
from jobscheduler.alerts.pending_alert import Due
from jobscheduler.alerts.rules import On, change
from jobscheduler.alerts.sender import Sender

__all__ = ["Alerts", "BadDefault", "Defaults", "Due", "On", "Sender", "alert_of", "change", "read_defaults"]
