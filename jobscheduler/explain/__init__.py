"""Why a job did or did not run at a time, or when it will: facts in, sentences out. Pure."""

from jobscheduler.explain.answer import explain
from jobscheduler.explain.evidence import JOB_WORDS, SERVICE_WORDS, Story, story_of
from jobscheduler.explain.facts import Answer, Facts, Live, Question

__all__ = ["JOB_WORDS", "SERVICE_WORDS", "Answer", "Facts", "Live", "Question", "Story", "explain", "story_of"]
