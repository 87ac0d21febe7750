"""Explain why a job did or did not run at a time, or when it will: facts in, sentences out. Pure."""

from jobscheduler.explain.answer import explain
from jobscheduler.explain.evidence import JOB_KINDS, SERVICE_KINDS, LogEvidence, collect_evidence
from jobscheduler.explain.facts import Answer, Facts, Overdue, Question, RuntimeState

__all__ = [
    "JOB_KINDS",
    "SERVICE_KINDS",
    "Answer",
    "Facts",
    "LogEvidence",
    "Overdue",
    "Question",
    "RuntimeState",
    "collect_evidence",
    "explain",
]
