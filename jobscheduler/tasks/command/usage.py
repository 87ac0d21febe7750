"""What a command has used, as the kernel tells it with the exit status.

A new process shares the memory of the service until it becomes its program, and the kernel counts that for it: its
`ru_maxrss` begins with the peak of the service. So a figure that is not above that peak says nothing about the command.
"""

from __future__ import annotations

import resource

from jobscheduler.model import ResourceUse

NOISE_BYTES = 1 << 20  # by which a peak may seem higher: the kernel counts pages in batches, one for each processor

_UNIT = 1024  # bytes of `ru_maxrss`


def own_peak() -> int:
    """Return the most memory that this process has had so far, in bytes.

    Ask when a command has become its program: the peak that it has inherited is no higher then.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def resource_use(usage: resource.struct_rusage, inherited_peak: int) -> ResourceUse:
    """Return what a process has used that has inherited this peak (bytes)."""
    peak = usage.ru_maxrss * _UNIT
    return ResourceUse(usage.ru_utime + usage.ru_stime, peak if peak > inherited_peak + NOISE_BYTES else None)
