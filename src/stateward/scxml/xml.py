"""XML in and out: a tree of elements that know their lines, read from text that may be hostile.

A DOCTYPE is refused, and with it every entity that could be declared, fetched or blown up; size, depth and number
of elements are bounded while reading, so that nothing large is built before it is refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler, feature_namespaces
from xml.sax.saxutils import escape, quoteattr
from xml.sax.xmlreader import InputSource

from stateward.errors import DocumentInvalid, ExtraMissing

try:
    from defusedxml.common import DefusedXmlException
    from defusedxml.expatreader import DefusedExpatParser
except ModuleNotFoundError as error:
    raise ExtraMissing(package="defusedxml", extra="scxml") from error

__all__ = ["NAMESPACE", "Element", "canonical", "inner_text", "parse", "serialise"]

NAMESPACE = "http://www.w3.org/2005/07/scxml"
"""The namespace of SCXML 1.0."""
BYTES_LIMIT = 4_000_000
"""Bytes of the largest document."""
DEPTH_LIMIT = 128
"""Elements within elements."""
ELEMENTS_LIMIT = 100_000
"""Elements of the largest document."""


class Element:
    """An element, its attributes, and what is in it in order: elements and texts."""

    __slots__ = ("attributes", "children", "line", "namespace", "tag")

    def __init__(
        self, tag: str, attributes: dict[str, str] | None = None, *, namespace: str = NAMESPACE, line: int = 0
    ) -> None:
        self.tag = tag
        self.namespace = namespace
        self.attributes = attributes or {}
        """Those without a namespace; of others `{namespace}name`."""
        self.children: list[Element | str] = []
        self.line = line

    @property
    def elements(self) -> list[Element]:
        """The elements in it that are SCXML's; those of other namespaces are passed over."""
        return [each for each in self.children if isinstance(each, Element) and each.namespace == NAMESPACE]

    def all(self, *tags: str) -> list[Element]:
        """Its SCXML elements of these tags, in order."""
        return [each for each in self.elements if each.tag in tags]

    def first(self, tag: str) -> Element | None:
        """Its first SCXML element of that tag."""
        return next(iter(self.all(tag)), None)

    def get(self, name: str) -> str | None:
        """An attribute; None if it is not there."""
        return self.attributes.get(name)

    def walk(self) -> Iterator[Element]:
        """It and all SCXML elements within, in document order; what stands in data is data, and no part of it."""
        yield self
        if self.tag not in _KEEPS_TEXT:
            for each in self.elements:
                yield from each.walk()

    def __repr__(self) -> str:
        return f"<Element {self.tag} line {self.line}>"


def parse(text: str | bytes, document: str = "") -> Element:
    """The root of a document.

    Args:
        text: the document; bytes are decoded as its XML declaration says.
        document: what errors call it.

    Raises:
        DocumentInvalid: it is no XML, declares a DOCTYPE, or is too large or too deep.
    """
    data = text.encode() if isinstance(text, str) else text
    if len(data) > BYTES_LIMIT:
        problem = f"is {len(data)} bytes long; {BYTES_LIMIT} are read at most"
        raise DocumentInvalid(problem, document=document)
    parser: Any = DefusedExpatParser(forbid_dtd=True, forbid_entities=True, forbid_external=True)
    parser.setFeature(feature_namespaces, True)
    handler = _Builder(document, parser)
    parser.setContentHandler(handler)
    source = InputSource()
    source.setByteStream(io.BytesIO(data))
    if isinstance(text, str):
        source.setEncoding("utf-8")
    try:
        parser.parse(source)
    except SAXParseException as error:
        problem = f"is no XML: {error.getMessage()}"
        raise DocumentInvalid(problem, document=document, line=error.getLineNumber() or 0) from None
    except DefusedXmlException as error:
        problem = f"has a DOCTYPE or entities, which are not read: {type(error).__name__}"
        raise DocumentInvalid(problem, document=document, line=handler.line) from None
    except (LookupError, UnicodeError, ValueError) as error:  # an encoding that nobody knows, or that it is not in
        problem = f"can't be decoded: {error}"
        raise DocumentInvalid(problem, document=document) from None
    assert handler.root is not None
    return handler.root


class _Builder(ContentHandler):
    def __init__(self, document: str, parser: Any) -> None:
        super().__init__()
        self.root: Element | None = None
        self._document = document
        self._parser = parser
        self._open: list[Element] = []
        self._text: list[str] = []
        """What has come of the text that is being read."""
        self._count = 0

    @property
    def line(self) -> int:
        return int(self._parser.getLineNumber() or 0)

    def startElementNS(self, name: tuple[str | None, str], qname: str | None, attrs: Any) -> None:  # noqa: ARG002, N802
        self._end_text()
        namespace, tag = name
        attributes = {(f"{{{uri}}}{key}" if uri else key): value for (uri, key), value in attrs.items()}
        element = Element(tag, attributes, namespace=namespace or "", line=self.line)
        self._count += 1
        if self._count > ELEMENTS_LIMIT:
            raise self._error(f"has more than {ELEMENTS_LIMIT} elements", element)
        if len(self._open) >= DEPTH_LIMIT:
            raise self._error(f"lies more than {DEPTH_LIMIT} elements deep", element)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def endElementNS(self, name: tuple[str | None, str], qname: str | None) -> None:  # noqa: ARG002, N802
        self._end_text()
        self._open.pop()

    def characters(self, content: str) -> None:
        self._text.append(content)

    def _end_text(self) -> None:
        if self._text:
            self._open[-1].children.append("".join(self._text))
            self._text.clear()

    def _error(self, problem: str, element: Element) -> DocumentInvalid:
        return DocumentInvalid(problem, document=self._document, line=element.line, element=element.tag)


_KEEPS_TEXT = frozenset(("data", "content", "script", "assign"))
"""Elements whose text is data or code; in any other, text is white space between elements."""


def serialise(root: Element) -> str:
    """A document's text, indented, elements without content in one tag."""
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + "".join(_written(root, "\n", "", "")) + "\n"


def canonical(*elements: Element) -> str:
    """Elements on one line, attributes in order of their names: equal texts say the same."""
    return "".join(part for each in elements for part in _written(each, "", NAMESPACE, ""))


def inner_text(element: Element) -> str:
    """What stands within an element, as it would be written by itself: its text, or its elements as text."""
    if all(isinstance(each, str) for each in element.children):
        return "".join(str(each) for each in element.children)
    return "".join(
        escape(each) if isinstance(each, str) else "".join(_written(each, "", None, "")) for each in element.children
    )


def _written(element: Element, newline: str, around: str | None, indent: str) -> Iterator[str]:
    """An element's text.

    Args:
        element: the element.
        newline: what a line ends with; empty: all goes on one line.
        around: the namespace that holds around it; None: nobody knows, so its own is written.
        indent: what its own line begins with.
    """
    attributes = dict(element.attributes)
    if element.namespace != around:
        attributes = {"xmlns": element.namespace, **attributes}
    names = sorted(attributes) if not newline else attributes
    yield f"<{element.tag}"
    for number, name in enumerate(names):
        if name.startswith("{"):
            namespace, _, local = name[1:].partition("}")
            yield f" xmlns:n{number}={quoteattr(namespace)} n{number}:{local}={quoteattr(attributes[name])}"
        else:
            yield f" {name}={quoteattr(attributes[name])}"
    if element.namespace != NAMESPACE or element.tag in _KEEPS_TEXT:
        inside = [
            escape(each) if isinstance(each, str) else "".join(_written(each, "", element.namespace, ""))
            for each in element.children
        ]
        if not newline and element.namespace == NAMESPACE:
            inside = ["".join(inside).strip()]
        yield f">{''.join(inside)}</{element.tag}>" if any(inside) else "/>"
        return
    children = element.elements
    if not children:
        yield "/>"
        return
    yield ">"
    deeper = f"{indent}  " if newline else ""
    for each in children:
        yield newline + deeper
        yield from _written(each, newline, element.namespace, deeper)
    yield f"{newline}{indent if newline else ''}</{element.tag}>"
