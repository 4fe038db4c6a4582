"""One reading of the configuration that the nucleus holds for this component, in one piece or in several.

Owns how a whole is put together that the nucleus cannot hand out at once: lite has room for 255 keys and items in an
answer, keys counted twice, and says of more than that only that it failed. Then each section is asked for by its name.
It must not know what a configuration means, nor when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from weir.core.nucleus import Answer, ConnectionGone, NotAllowed, NotFound, Nucleus, NucleusFailed
from weir.core.reading import TREE

Document = dict[str, Any]


class Reading:
    """A document that is on its way; every call is made by the loop's thread, which is woken when it may go on."""

    def __init__(self, nucleus: Nucleus, wake: Callable[[], object]) -> None:
        """Ask for the whole."""
        self._nucleus = nucleus
        self._wake = wake
        self._document: Document = {}
        self._failure: NucleusFailed | None = None
        self._steps = self._read()
        self._waits_for: Answer[Document] | None = next(self._steps)

    def done(self) -> bool:
        """Go on with what has been answered; tell whether it is over."""
        while self._waits_for is not None and self._waits_for.done():
            try:
                self._waits_for = next(self._steps, None)
            except NucleusFailed as failure:
                self._waits_for, self._failure = None, failure
        return self._waits_for is None

    def result(self) -> Document:
        """Give the document, or raise the `NucleusFailed` that came instead; it is over by now."""
        if self._failure is not None:
            raise self._failure
        return self._document

    def _read(self) -> Iterator[Answer[Document]]:
        whole = self._ask(None)
        yield whole
        try:
            self._document = whole.result(0)
        except (ConnectionGone, NotAllowed, NotFound):
            raise
        except NucleusFailed as failure:
            yield from self._read_sections(failure)

    def _read_sections(self, failure: NucleusFailed) -> Iterator[Answer[Document]]:
        """Ask for one section after the other. A key of no section is not seen: nobody can ask for it."""
        for name in TREE:
            section = self._ask(name)
            yield section
            try:
                found = section.result(0)
            except NotFound:
                continue  # it is as it is by default
            except ConnectionGone:
                raise
            except NucleusFailed as other:
                raise NucleusFailed(f"{failure}; and of {name} alone: {other}") from failure
            self._document[name] = _value(name, found)
        if not self._document:
            raise failure  # nothing at all was found: then it was not for its size that there was no whole

    def _ask(self, name: str | None) -> Answer[Document]:
        answer = self._nucleus.configuration(key=name)
        answer.add_done_callback(lambda _: self._wake())
        return answer


def _value(name: str, found: Document) -> object:
    """Give the value of a key: a map is answered as it is, anything else in a map with the name of the key."""
    alone = found.get(name)
    return alone if found.keys() == {name} and not isinstance(alone, dict) else found
