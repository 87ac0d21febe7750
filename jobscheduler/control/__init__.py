"""The control socket: what people may ask of the running service, and who may ask."""

from jobscheduler.control.app import application
from jobscheduler.control.client import Refusal, Unreachable, ask
from jobscheduler.control.server import CannotListen, Control

__all__ = ["CannotListen", "Control", "Refusal", "Unreachable", "application", "ask"]
