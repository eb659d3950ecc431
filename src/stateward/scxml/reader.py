"""From a document to a chart: the same nodes, rules and digest as those of a lifecycle declared in Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stateward.chart import Chart, EventMarker, Handler
from stateward.chart.build import build
from stateward.chart.draft import ChartDraft, StateDraft, TransitionDraft
from stateward.chart.nodes import InvokeNode, StateKind
from stateward.chart.rules import is_within
from stateward.errors import DefinitionError, DocumentInvalid
from stateward.scxml.content import Block, Condition
from stateward.scxml.context import Data
from stateward.scxml.datamodel import Datamodel
from stateward.scxml.document import DoneData, Ending, LateData, Prologue, data_elements, result_of
from stateward.scxml.durable import kept_chart
from stateward.scxml.executing import Failure
from stateward.scxml.ids import name_for
from stateward.scxml.invoking import Invocation, Receiving, documents_in
from stateward.scxml.messages import Descriptors, error_event
from stateward.scxml.null import NullDatamodel
from stateward.scxml.python import PythonDatamodel
from stateward.scxml.schema import check
from stateward.scxml.xml import BYTES_LIMIT, Element, parse

__all__ = ["DEFAULT_NAME", "Load", "load_beside", "read", "read_file"]

STATES_LIMIT = 2_000
"""States of the largest document; those of a document within it count for themselves."""
INVOKES_LIMIT = 1_000
"""Its `<invoke>`."""
TRANSITIONS_LIMIT = 10_000
"""Transitions of the largest document."""
PATHS_LIMIT = 10_000_000
"""Characters that the paths of states, as often as they are written into a chart, come to."""
DEFAULT_NAME = "scxml"
"""The kind of a chart whose document has no name."""
_DATAMODELS: dict[str, Datamodel] = {each.name: each for each in (NullDatamodel(), PythonDatamodel())}
_STATES = ("state", "parallel", "final", "history")

Load = Callable[[str], str]
"""What a `src` stands for; a LookupError or OSError if that can't be read."""


def read(text: str | bytes, *, document: str = "", load: Load | None = None, version: int = 1) -> Chart[Data]:
    """A chart from the text of a document.

    Args:
        text: the document.
        document: what errors call it.
        load: gives the text of a `src` of `<data>`, `<script>` or `<invoke>`; without it, none can be read.
        version: of the chart; a ledger keeps sessions under the version that they were created with.

    Raises:
        DocumentInvalid: it is no valid document, with the line and the element at fault.
    """
    root = parse(text, document)
    check(root, document)
    return _Reader(root, document, load, version).read()


def read_file(path: str | Path, *, version: int = 1) -> Chart[Data]:
    """A chart from a file. What its `src` name is read from files beside it or below, and from nowhere else.

    Args:
        path: the file.
        version: of the chart, as for `read`.

    Raises:
        DocumentInvalid: it is no valid document, with the line and the element at fault.
        OSError: the file can't be read.
    """
    path = Path(path)
    return read(_content_of(path), document=str(path), load=lambda src: load_beside(path.parent, src), version=version)


def _content_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(BYTES_LIMIT + 1)


def load_beside(folder: Path, src: str) -> str:
    """The text of a `src`: a file in the folder or below it.

    Raises:
        LookupError: it lies elsewhere.
        OSError: it can't be read.
    """
    name = src.removeprefix("file:")
    found = (folder / name).resolve()
    if not found.is_relative_to(folder.resolve()):
        message = f"{src} lies outside of the document's folder"
        raise LookupError(message)
    return _content_of(found).decode()


class _Reader:
    """A document on its way to a draft."""

    def __init__(self, root: Element, document: str, load: Load | None, version: int = 1) -> None:
        self._root = root
        self._document = document
        self._load = load
        self._version = version
        self._paths: dict[str, str] = {}
        self._room = PATHS_LIMIT
        self._names: dict[Element, str] = {}
        self._histories: set[str] = set()
        """Their paths; what they stand for is known only when a transition is taken."""
        self._sources: dict[Element, str] = {}
        self._datamodel = self._datamodel_of(root)
        self._invocations: list[Invocation] = []

    def read(self) -> Chart[Data]:
        root = self._root
        self._name_states()
        self._load_sources()
        self._check_data()
        prologue = Prologue(root, self._names, self._datamodel, self._sources, self._load)
        top = StateDraft(path="", kind=StateKind.COMPOSITE, origin=self._origin(root))
        top.children = [self._state(each, "") for each in root.all(*_STATES)]
        if not top.children:
            raise self._error("holds no state", root)
        top.initial = self._references(root, "initial") or (top.children[0].path,)
        top.initial_actions = (Handler(prologue.text, prologue, wants_meta=True),)
        prologue.invocations = {each.place: each for each in self._invocations}
        receiving = prologue.receiving = Receiving(self._invocations)
        draft = ChartDraft(
            kind=root.get("name") or DEFAULT_NAME,
            version=self._version,
            context_type=Data,
            root=top,
            transitions=[self._transition(each, source) for each, source in self._transitions()],
            before=Handler(receiving.text, receiving, wants_meta=True) if receiving else None,
            guard_error=_guard_error,
        )
        try:
            chart: Chart[Data] = build(draft, stacklevel=None)
        except DefinitionError as error:
            raise self._of_definition(error) from None
        chart.kept = kept_chart
        return chart

    # States.

    def _name_states(self) -> None:
        """Give every state its path; those without an id get one that no other has."""
        states = [each for each in self._root.walk() if each.tag in _STATES]
        taken = {each.attributes["id"]: each for each in reversed(states) if each.get("id") is not None}
        if len(states) > STATES_LIMIT:
            raise self._error(f"is state number {STATES_LIMIT + 1}, which is too many", states[STATES_LIMIT])
        transitions = [each for state in states for each in state.all("transition")]
        if len(transitions) > TRANSITIONS_LIMIT:
            problem = f"is transition number {TRANSITIONS_LIMIT + 1}, which is too many"
            raise self._error(problem, transitions[TRANSITIONS_LIMIT])
        number = 0
        for each in states:
            state_id = each.get("id")
            if state_id is None:
                while state_id is None or state_id in taken:
                    number += 1
                    state_id = f"state{number}"
            elif taken[state_id] is not each:
                raise self._error(
                    f"has the id {state_id}, as <{taken[state_id].tag}> on line {taken[state_id].line}", each
                )
            elif not state_id.strip():
                raise self._error("has an empty id", each)
            self._names[each] = state_id
        self._place(self._root, "")

    def _place(self, element: Element, parent: str) -> None:
        for each in element.all(*_STATES):
            name = name_for(self._names[each])
            path = f"{parent}.{name}" if parent else name
            self._room -= len(path) * (1 + len(each.all("transition", "invoke")))
            if self._room < 0:
                raise self._error("has too long an id in too deep a place", each)
            self._paths[self._names[each]] = path
            if each.tag == "history":
                self._histories.add(path)
            self._place(each, path)

    def _state(self, element: Element, parent: str) -> StateDraft:
        path = self._paths[self._names[element]]
        children = element.all(*_STATES)
        state = StateDraft(path=path, kind=_kind_of(element), origin=self._origin(element))
        state.invokes = self._invokes(element, path)
        state.children = [self._state(each, path) for each in children]
        state.entry = self._entry(element, path)
        state.exit = tuple(self._block(each) for each in element.all("onexit") if each.elements)
        if state.kind is StateKind.FINAL:
            self._set_ending(element, state, is_top=not parent)
        if state.kind is StateKind.COMPOSITE:
            self._set_initial(element, state)
        elif element.get("initial") is not None:
            raise self._error("has an initial state and no states", element)
        if state.kind.is_history:
            self._set_default(element, state, parent)
        return state

    def _entry(self, element: Element, path: str) -> tuple[Handler, ...]:
        """Late data first, then the entry blocks, then what comes after them."""
        found: list[Handler] = []
        if self._root.get("binding") == "late" and data_elements(element):
            late = LateData(path, element, self._datamodel, self._sources)
            found.append(Handler(late.text, late, wants_meta=True))
        found += [self._block(each) for each in element.all("onentry") if each.elements]
        return tuple(found)

    def _invokes(self, element: Element, path: str) -> tuple[InvokeNode, ...]:
        found: list[InvokeNode] = []
        for number, each in enumerate(element.all("invoke")):
            if len(self._invocations) == INVOKES_LIMIT:
                raise self._error(f"is <invoke> number {INVOKES_LIMIT + 1}, which is too many", each)
            documents = documents_in(each)
            if len(documents) > 1:
                raise self._error("is the second document of one <invoke>", documents[1])
            inline = _Reader(documents[0], self._document, self._load).read() if documents else None
            place = f"{path}#{number}"
            invocation = Invocation(
                each, self._datamodel, self._sources, state=self._names[element], place=place, inline=inline
            )
            self._invocations.append(invocation)
            found.append(invocation.node)
        return tuple(found)

    def _set_ending(self, element: Element, state: StateDraft, *, is_top: bool) -> None:
        """The data of a final state: worked out when the document ends, or when the final is entered."""
        handlers = tuple(Handler(done.text, done, wants_meta=True) for done in self._done_data(element))
        if is_top:
            state.entry = (*state.entry, Handler("ending", Ending()))
            state.exit = (*state.exit, *handlers)
        elif handlers:
            state.entry = (*state.entry, *handlers)
            state.data = Handler("donedata", result_of)

    def _done_data(self, element: Element) -> list[DoneData]:
        return [DoneData(each, self._datamodel) for each in element.all("donedata")]

    def _set_initial(self, element: Element, state: StateDraft) -> None:
        initial = element.first("initial")
        if initial is not None:
            [transition] = initial.all("transition")
            state.initial = self._references(transition, "target")
            state.initial_actions = self._actions(transition)
        else:
            state.initial = self._references(element, "initial")
        if not state.initial:
            state.initial = (next(each.path for each in state.children if not each.kind.is_history),)

    def _set_default(self, element: Element, state: StateDraft, parent: str) -> None:
        if not parent:
            raise self._error("stands in no state that could be left", element)
        for each in element.all("transition"):
            state.default = self._references(each, "target")
            state.default_actions = self._actions(each)

    # Transitions.

    def _transitions(self) -> list[tuple[Element, Element]]:
        """All transitions with their sources, in document order."""
        return [
            (transition, state)
            for state in self._root.walk()
            if state.tag in ("state", "parallel")
            for transition in state.all("transition")
        ]

    def _transition(self, element: Element, state: Element) -> TransitionDraft:
        event, cond = element.get("event"), element.get("cond")
        targets = self._references(element, "target")
        if event is None and cond is None and not targets:
            raise self._error("has neither event nor cond nor target", element)
        if event is not None and not event.strip():
            raise self._error("has an empty event, which nothing would match", element)
        source = self._paths[self._names[state]]
        # An internal transition of a state that is not compound, or to a target outside, is external (3.13).
        is_internal = (
            element.get("type") == "internal"
            and _kind_of(state) is StateKind.COMPOSITE
            and bool(targets)
            and all(is_within(target, source) or target in self._histories for target in targets)
        )
        guard = None if cond is None else Condition(element, cond, self._datamodel)
        texts = () if event is None else tuple(event.split())
        return TransitionDraft(
            name=" ".join(texts) or "always",
            source=source,
            targets=targets,
            trigger=None if event is None else Descriptors(texts),
            guard=None if guard is None else Handler(guard.text, guard, wants_meta=True),
            actions=self._actions(element),
            internal=is_internal,
            origin=self._origin(element),
        )

    def _references(self, element: Element, attribute: str) -> tuple[str, ...]:
        ids = (element.get(attribute) or "").split()
        for each in ids:
            if each not in self._paths:
                raise self._error(f"has {attribute}={each!r}, which is no state's id", element)
        paths = dict.fromkeys(self._paths[each] for each in ids)
        # A state that holds another of them is meant by it (3.11).
        above = {path[:at] for path in paths for at, each in enumerate(path) if each == "."}
        return tuple(path for path in paths if path not in above)

    def _actions(self, element: Element) -> tuple[Handler, ...]:
        return (self._block(element),) if element.elements else ()

    def _block(self, element: Element) -> Handler:
        block = Block(element, self._datamodel, self._sources)
        return Handler(block.text, block, wants_meta=True)

    # The rest.

    def _datamodel_of(self, root: Element) -> Datamodel:
        name = root.get("datamodel") or PythonDatamodel.name
        if name not in _DATAMODELS:
            raise self._error(f"has the datamodel {name!r}; there are {', '.join(_DATAMODELS)}", root)
        return _DATAMODELS[name]

    def _load_sources(self) -> None:
        """Read the files that the document names: of a script it must be there (5.8), of data it may be missing."""
        for each in self._root.walk():
            src = each.get("src")
            if src is None or each.tag not in ("data", "script"):
                continue
            try:
                if self._load is None:
                    message = "there is no folder to read from"
                    raise LookupError(message)
                self._sources[each] = self._load(src)
            except (LookupError, OSError, UnicodeError, ValueError) as error:
                if each.tag == "script":
                    raise self._error(f"has src={src!r}, which can't be read: {error}", each) from None

    def _check_data(self) -> None:
        seen: dict[str, Element] = {}
        for each in self._root.walk():
            if each.tag == "data":
                if each.attributes["id"].startswith("_"):
                    raise self._error(
                        f"has the id {each.get('id')}; those that begin with an underscore are the system's", each
                    )
                first = seen.setdefault(each.attributes["id"], each)
                if first is not each:
                    raise self._error(f"has the id {each.get('id')}, as <data> on line {first.line}", each)

    def _origin(self, element: Element) -> str:
        return f"{self._document or 'document'}:{element.line}"

    def _error(self, problem: str, element: Element) -> DocumentInvalid:
        return DocumentInvalid(problem, document=self._document, line=element.line, element=element.tag)

    def _of_definition(self, error: DefinitionError) -> DocumentInvalid:
        """A rule of charts that the document breaks, with the line of the state or transition that does."""
        number = error.origin.rpartition(":")[2]
        line = int(number) if number.isdecimal() else 0
        problem = f"{error.subject} {error.problem}"
        element = next((each.tag for each in self._root.walk() if each.line == line and self._is(each, error)), "")
        return DocumentInvalid(problem, document=self._document, line=line, element=element)

    def _is(self, element: Element, error: DefinitionError) -> bool:
        """Whether an error is about this state or transition."""
        if element.tag == "transition":
            return " ".join((element.get("event") or "always").split()) == error.subject
        return element in self._names and self._paths[self._names[element]] == error.subject


def _kind_of(element: Element) -> StateKind:
    if element.tag == "history":
        return StateKind.DEEP_HISTORY if element.get("type") == "deep" else StateKind.SHALLOW_HISTORY
    if element.tag == "final":
        return StateKind.FINAL
    # A parallel without regions is as atomic as a state without states.
    if not element.all("state", "parallel", "final"):
        return StateKind.ATOMIC
    return StateKind.PARALLEL if element.tag == "parallel" else StateKind.COMPOSITE


def _guard_error(error: Exception, _: EventMarker) -> EventMarker:
    """A `cond` that can't be evaluated counts as false and raises `error.execution` (5.9.1)."""
    if isinstance(error, Failure):
        return error.event
    return error_event("error.execution", str(error) or type(error).__name__)
