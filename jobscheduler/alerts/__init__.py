"""Alerts on change: when the result of a job changes, a task of any type is run that gets the record."""

from jobscheduler.alerts.changes import On, change
from jobscheduler.alerts.defaults import BadDefault, read_defaults
from jobscheduler.alerts.due import Due
from jobscheduler.alerts.room import Alerts, Defaults
from jobscheduler.alerts.sender import Sender
from jobscheduler.alerts.telling import alert_of

__all__ = ["Alerts", "BadDefault", "Defaults", "Due", "On", "Sender", "alert_of", "change", "read_defaults"]
