"""The outputs of runs on disk: plain files in a folder for each day, bounded, written on a thread of its own.

1. `RecentOutputs` takes the output of each ended attempt from the runner, in memory, and never waits.
2. `OutputThread` writes them with `OutputStore`, and once a second what running attempts have printed.
3. `Retention` counts the disk blocks and deletes old files; a job that uses most of the room loses its oldest first.
4. `OutputReader` reads them back, also without the service.
"""

from jobscheduler.output.folder import FolderRefused
from jobscheduler.output.reader import OutputReader, RunPlace
from jobscheduler.output.recent import RecentOutputs
from jobscheduler.output.retention import OutputLimits
from jobscheduler.output.thread import OutputThread

__all__ = ["FolderRefused", "OutputLimits", "OutputReader", "OutputThread", "RecentOutputs", "RunPlace"]
