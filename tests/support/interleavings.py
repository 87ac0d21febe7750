"""Tries every interleaving of threads that run the real code of some modules, one step at a time.

Not a model that resembles the code: the source of a module is read, and every function in it becomes a generator that
pauses before each statement that touches what threads share. A *thread* is then such a generator, and the order in
which the threads move is chosen here. States that were seen before are not followed again, so the search ends.

1. `stepped` transforms a source. Calls of functions that pause become `yield from`; `with lock` waits in the same way.
   There is no generator between the two functions: a move goes through all that wait for each other.
2. A `Play` holds the threads of one attempt to play a scenario. Each `yield` gives None, or a question: the thread is
   blocked until the answer is true.
3. `explore` plays a scenario in every order, and gives each end, in which no thread can move, to a check.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Collection, Generator, Hashable
from dataclasses import dataclass, field
from types import GeneratorType
from typing import Any

Steps = Generator[Callable[[], bool] | None, None, Any]


_RESULT = "_result"
"""The local name of what a call returned, until it is known whether it pauses: no state of its own."""


# --- code that pauses --------------------------------------------------------------------------------------


class _Pausing(ast.NodeTransformer):
    """Turns functions into generators."""

    def __init__(self, pausing: Collection[str], shared: Collection[str]) -> None:
        self._pausing = pausing
        self._shared = shared

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if node.name not in self._pausing:
            return node
        node.body = self._block(node.body)
        if not any(isinstance(one, ast.Yield | ast.YieldFrom) for one in ast.walk(node)):
            node.body.insert(0, ast.parse("if False: yield").body[0])
        return node

    def _block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for one in body:
            if self._touches(one):
                done.append(ast.parse("yield").body[0])
            done += self._statement(one)
        return done

    def _touches(self, node: ast.stmt) -> bool:
        """Return whether the first evaluated part of a statement touches shared state. Blocks pause by themselves."""
        heads: list[ast.AST] = [node]
        if isinstance(node, ast.If | ast.While):
            heads = [node.test]
        elif isinstance(node, ast.For):
            heads = [node.iter]
        elif isinstance(node, ast.Try | ast.With):
            return False
        names = (one for head in heads for one in ast.walk(head))
        return any(isinstance(one, ast.Attribute) and one.attr in self._shared for one in names)

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        for name in ("body", "orelse"):  # what has to be done in any case does not pause: a play may be broken off
            if getattr(node, name, None):
                setattr(node, name, self._block(getattr(node, name)))
        if isinstance(node, ast.While) and self._touches(node):
            node.body.append(ast.parse("yield").body[0])  # before its question is asked again
        if isinstance(node, ast.With) and _is_lock(node):
            return self._locked(node)
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                setattr(node, name, self.visit(value))
        return [node]

    def _locked(self, node: ast.With) -> list[ast.stmt]:
        lock = ast.unparse(node.items[0].context_expr)
        others = node.items[1:]
        body: list[ast.stmt] = [ast.With(others, node.body)] if others else node.body
        taken = ast.parse(f"yield from {lock}.enter()\ntry:\n    pass\nfinally:\n    {lock}.release()").body
        taken[1].body = body  # type: ignore[attr-defined]
        return taken

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return node

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        func = node.func
        name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else None
        if name not in self._pausing and not isinstance(func, ast.Call | ast.YieldFrom):
            return node
        text = f"(yield from {_RESULT}) if isinstance({_RESULT} := 0, _Steps) else {_RESULT}"
        made = ast.parse(text, mode="eval").body
        made.test.args[0].value = node  # type: ignore[attr-defined]
        return made


def _is_lock(node: ast.With) -> bool:
    first = node.items[0].context_expr
    return isinstance(first, ast.Attribute) and first.attr.endswith("_lock")


def stepped(source: Any, pausing: Collection[str], shared: Collection[str], **others: Any) -> dict[str, Any]:
    """Return the names of a module, or of a text, whose functions `pausing` pause at each touch of `shared`.

    `others` take the place of names that it imports or defines.
    """
    text = source if isinstance(source, str) else inspect.getsource(source)
    tree = ast.fix_missing_locations(_Pausing(pausing, shared).visit(ast.parse(text)))
    names: dict[str, Any] = {"__name__": "stepped", "_Steps": GeneratorType, **others}
    exec(compile(tree, "stepped", "exec"), names)
    names.update(others)
    return names


# --- what stands in for the system -------------------------------------------------------------------------


class Lock:
    """A lock for which a thread waits by pausing."""

    def __init__(self) -> None:
        self.is_held = False

    def enter(self) -> Steps:
        """Wait for the lock and take it."""
        yield lambda: not self.is_held
        assert not self.is_held
        self.is_held = True

    def acquire(self, *, blocking: bool) -> bool:
        """Take the lock if it is free."""
        assert not blocking
        is_ours, self.is_held = not self.is_held, True
        return is_ours

    def release(self) -> None:
        """Give the lock back."""
        assert self.is_held
        self.is_held = False


@dataclass
class Play:
    """One play: its threads, and what distinguishes its states."""

    threads: dict[str, Steps] = field(default_factory=dict)
    waits: dict[str, Callable[[], bool] | None] = field(default_factory=dict)
    places: dict[str, Hashable] = field(default_factory=dict)
    now: str = ""

    def begin(self, name: str, steps: Steps) -> None:
        """Add a thread."""
        self.threads[name], self.waits[name], self.places[name] = steps, None, "not begun"

    def can_move(self) -> list[str]:
        """Return the threads that are not blocked."""
        return [name for name in self.threads if (asks := self.waits[name]) is None or asks()]

    def move(self, name: str) -> None:
        """Let a thread go on to its next pause."""
        self.now = name
        try:
            self.waits[name] = next(self.threads[name])
        except StopIteration:
            del self.threads[name], self.waits[name]
        self.places.pop(name, None)

    def repeat(self, moves: list[str], places: dict[str, Hashable]) -> None:
        """Make moves that another play has made, which found its threads at these places."""
        threads, waits = self.threads, self.waits
        for name in moves:
            self.now = name
            try:
                waits[name] = next(threads[name])
            except StopIteration:
                del threads[name], waits[name]
        self.places = dict(places)

    def where(self) -> Hashable:
        """Return where each thread stands."""
        for name in self.threads.keys() - self.places.keys():  # those that have moved
            self.places[name] = _place(self.threads[name])
        return tuple(sorted(self.places.items()))


_NO_STATE = {"self", _RESULT}


def _place(steps: Any) -> Hashable:
    found: list[Hashable] = []
    while isinstance(steps, GeneratorType) and steps.gi_frame is not None:
        frame = steps.gi_frame
        values = [(key, plain(value)) for key, value in frame.f_locals.items() if key not in _NO_STATE]
        found.append((steps.__name__, frame.f_lasti, tuple(values)))
        steps = steps.gi_yieldfrom
    return tuple(found)


def plain(value: Any) -> Hashable:
    """Return what matters of a value, equal in two plays."""
    if value is None or isinstance(value, int | float | str):
        return value
    if isinstance(value, tuple | list):
        return tuple(map(plain, value))
    return getattr(value, "name", None) or type(value).__name__


@dataclass
class Found:
    """The result of a search: how many states, and each order of moves that ended wrongly, with the reason."""

    states: int = 0
    wrong: list[tuple[list[str], str]] = field(default_factory=list)


def explore(
    scene: Callable[[], tuple[Play, Callable[[], Hashable], Callable[[], str | None]]],
    most: int = 2_000_000,
    first: Callable[[str], int] = len,
) -> Found:
    """Play a scene in every order until the first wrong end.

    `scene` gives a fresh play, what to tell its states apart by, and a check that says what is wrong with its end.
    `first` sorts the threads that can move: it changes what is found soonest, not what can be found.
    """
    found, seen = Found(), set()
    pending: list[_Branch] = [_Branch([], "", {})]
    while pending and not found.wrong and found.states < most:
        branch = pending.pop()
        play, state, check = scene()
        path = list(branch.moves)
        try:
            if branch.next:
                play.repeat(path, branch.places)
                path.append(branch.next)
                play.move(branch.next)
            _go_on(play, state, path, seen, pending, first)
        except AssertionError as error:
            found.wrong.append((path, f"{error}"))
            continue
        found.states = len(seen)
        if not play.can_move() and (why := check()):
            found.wrong.append((path, why))
    assert found.states < most, "too many states"
    return found


@dataclass
class _Branch:
    """An order of moves that has been played, where its threads stood, and the move that is to follow now."""

    moves: list[str]
    next: str
    places: dict[str, Hashable]


def _go_on(
    play: Play,
    state: Callable[[], Hashable],
    path: list[str],
    seen: set[Hashable],
    pending: list[_Branch],
    first: Callable[[str], int],
) -> None:
    """Go on with the first thread that can move, and leave the others for later, until a state is known."""
    while True:
        here = (play.where(), state())
        if here in seen:
            return
        seen.add(here)
        able = sorted(play.can_move(), key=first)
        if not able:
            return
        if len(able) > 1:
            moves, places = list(path), dict(play.places)
            pending += [_Branch(moves, name, places) for name in able[1:]]
        path.append(able[0])
        play.move(able[0])
