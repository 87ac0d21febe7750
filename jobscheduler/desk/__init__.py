"""Where people's questions and requests meet the running service.

Nothing in here is a rule of scheduling: it asks the scheduler, the last pass and the records, and puts together what
they say.
"""

from jobscheduler.desk.desk import Desk
from jobscheduler.desk.face import ServiceFace
from jobscheduler.desk.recall import Recall
from jobscheduler.desk.recent import Recent
from jobscheduler.desk.snapshots import Snapshots

__all__ = ["Desk", "Recall", "Recent", "ServiceFace", "Snapshots"]
