"""What restoring one collection or one document does to what is there now, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slipway.facts.parts import Document, Part, Replaced
from slipway.plans.restore import Target

#: Documents that are told one by one; more are counted.
SHOWN = 20


@dataclass(frozen=True)
class Plan:
    """What would be done to one environment, and the name that has to be typed for it.

    `document` is what was asked for with --document; empty for a whole collection.
    """

    environment: str
    target: Target
    part: Part
    document: str = ""

    @property
    def subject(self) -> str:
        """What is restored."""
        collection = f"collection {self.part.then}"
        if not self.document:
            return collection
        name = self.part.documents[0].name if self.part.documents else self.document
        return f"document {name} of {collection}"

    @property
    def name(self) -> str:
        """What is typed back before anything of now is replaced."""
        if self.document and self.part.documents:
            return self.part.documents[0].name
        return self.part.then

    @property
    def changed(self) -> list[Document]:
        """The documents that anything is done to, by name."""
        changed = (each for each in self.part.documents if each.action not in ("none", "lost"))
        return sorted(changed, key=lambda each: each.name)

    @property
    def replaces(self) -> bool:
        """Whether anything that is there now goes."""
        return any(each.replaced for each in self.part.documents)

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return self.part.nothing

    @property
    def hopeless(self) -> bool:
        """Whether nothing of it can be brought back."""
        actions = {each.action for each in self.part.documents}
        return self.nothing and actions == {"lost"}

    @property
    def idle(self) -> str:
        """Why there is nothing to do, and what could not be done."""
        said = f"Nothing to do: {self.subject} of {self.environment} is as of {self.target.said}"
        lost = [each.name for each in self.part.documents if each.action == "lost"]
        return f"{said}, but for {_without(lost)}" if lost else said

    def __str__(self) -> str:
        part = self.part
        head = f"restore {self.subject} of {self.environment} as of {self.target.said}:"
        changed = self.changed
        steps = [f"return collection {part.then}: was deleted since"] if _returns(part) else []
        steps += [_step(each) for each in changed[:SHOWN]]
        numbered = [f"  {number:>2}. {step}" for number, step in enumerate(steps, 1)]
        if len(changed) > SHOWN:
            numbered.append(f"      and {len(changed) - SHOWN} more documents: {_counts(changed)}")
        return "\n".join([head, *numbered, *(f"  {line}" for line in _lines(part, self))])

    @property
    def done(self) -> str:
        """What was done, in a sentence."""
        changed = self.changed
        return f"{self.subject} of {self.environment} is as of {self.target.said}" + (
            f": {_counts(changed)}" if changed else ""
        )


def _without(lost: Sequence[str]) -> str:
    return f"{', '.join(lost[:SHOWN])}, whose file is in no point"


def _returns(part: Part) -> bool:
    return part.place == "return"


def _missing(document: Document) -> str:
    if document.action == "lost":
        return f"cannot be brought back: {document.name}, whose file is in no point"
    return f"without its original, which is in no point: {document.name}"


def _step(document: Document) -> str:
    what = f"{document.action} {document.name}"
    if document.action == "return":
        what += f": was deleted since (version {document.version}, {document.id})"
    elif document.action == "file":
        what = f"file of {document.name}: the original is gone, and nothing else"
    else:
        what += f": {'; '.join(_told(each, document) for each in document.replaced)}"
    if document.unserved:
        what += "; is found again when a worker has ingested it"
    elif document.again:
        what += "; its newest upload is ingested"
    return what


def _told(replaced: Replaced, document: Document) -> str:
    since = replaced.updated.partition(".")[0].replace("T", " ").partition("+")[0]
    if replaced.id != document.id:
        return f"document {replaced.id}, uploaded under this name since, is removed"
    if not replaced.whole:
        return f"passages of version {replaced.version} are missing"
    return f"version {replaced.version} of {since} UTC is there now"


def _counts(changed: list[Document]) -> str:
    words = {"return": "came back", "replace": "were replaced", "file": "got their file back"}
    counts = {
        word: sum(each.action == action for each in changed) for action, word in words.items()
    }
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def _lines(part: Part, plan: Plan) -> list[str]:
    """What a person has to know before they agree."""
    unchanged = sum(each.action == "none" for each in part.documents)
    lines = []
    if part.place == "renamed":
        lines.append(f"{part.then} is called {part.collection} now, and stays so")
    if unchanged and not plan.document:
        lines.append(f"unchanged since: {unchanged} documents")
    if part.later:
        lines.append(f"not in the point, and left alone: {part.later} documents")
    if any(each.unserved for each in part.documents):
        lines.append("its vectors are of another model than is served: passages are made anew")
    lines += [_missing(each) for each in part.documents if each.lost]
    if part.grants:
        lines.append(f"given again: {', '.join(part.grants)}")
    if part.refused:
        lines.append(f"not given again, because they are gone: {', '.join(part.refused)}")
    if part.ownerless:
        lines.append(f"documents whose owner was deleted since: {part.ownerless}")
    lines.append(f"{plan.environment} goes on serving, and nothing else of it changes")
    return lines
