"""Build the answer from the question and the facts."""

from __future__ import annotations

from dataclasses import replace

from jobscheduler.explain.at_time import explain_at
from jobscheduler.explain.facts import Answer, Facts, Question
from jobscheduler.explain.upcoming import explain_next


def explain(question: Question, facts: Facts) -> Answer:
    """Explain why a job did or did not run at a time, or (without a time) when it will run next."""
    answer = explain_next(question, facts) if question.at is None else explain_at(question, facts, question.at)
    notes = list(question.notes)
    if not facts.was_asked:
        notes.append("the service was not asked: this is what the log and the file say")
    return replace(answer, sentences=(*answer.sentences, *notes))
