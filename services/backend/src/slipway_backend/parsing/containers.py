"""Files that hold other files: ZIP archives and e-mails with attachments."""

from __future__ import annotations

import email
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from email.policy import default
from typing import BinaryIO

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import Block, Parsed, formats
from slipway_backend.parsing.budget import MAX_DEPTH, Budget, LimitReached
from slipway_backend.parsing.markup import blocks_of_html
from slipway_backend.parsing.text import blocks_of_text

ReadMember = Callable[[BinaryIO, str, Budget], Parsed]
NAME_CHARACTERS = 200
NAMED_SKIPPED = 100
_DAMAGED = "It is damaged or not what it seems."
_MACHINERY = (".DS_Store", "Thumbs.db", "desktop.ini")


@dataclass
class _Sections:
    """The readable members as sections, and the names of the others with their reasons."""

    read: ReadMember
    budget: Budget
    level: int
    blocks: list[Block] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    pages: int = 0

    def add(self, name: str, load: Callable[[], bytes]) -> None:
        """Read a member under its name; only a limit of the whole upload ends everything."""
        shown = safe_name(name)
        self.budget.depth += 1
        try:
            if self.budget.depth > MAX_DEPTH:
                raise DocumentError(f"It is nested deeper than {MAX_DEPTH} containers.")
            parsed = self.read(io.BytesIO(load()), shown, self.budget)
        except (LimitReached, MemoryError):
            raise
        except DocumentError as error:
            self._skip(f"{shown}: {error}")
        except Exception:  # a parser may fail in any way on a hostile file
            self._skip(f"{shown}: {_DAMAGED}")
        else:
            self.blocks.append(Block("heading", shown, self.level))
            self.blocks += [
                replace(block, level=block.level + self.level) if block.kind == "heading" else block
                for block in parsed.blocks
            ]
            self.pages += parsed.pages or 0
            for entry in parsed.skipped:
                self._skip(f"{shown}/{entry}")
        finally:
            self.budget.depth -= 1

    def _skip(self, entry: str) -> None:
        if len(self.skipped) < NAMED_SKIPPED:
            self.skipped.append(entry)
        elif len(self.skipped) == NAMED_SKIPPED:
            self.skipped.append("and more")


def safe_name(name: str) -> str:
    """A member's path as a heading: no way up, no root, no control characters, not endless."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    shown = "".join(sign for sign in "/".join(parts) if sign.isprintable())
    return shown[-NAME_CHARACTERS:] or "unnamed"


def read_zip(stream: BinaryIO, budget: Budget, read: ReadMember) -> Parsed:
    """Read every readable member of an archive as a section headed by its path."""
    sections = _Sections(read, budget, level=1)
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            last = member.filename.rpartition("/")[2]
            machinery = member.filename.startswith("__MACOSX/") or last in _MACHINERY
            if member.is_dir() or machinery:
                continue

            def load(member: zipfile.ZipInfo = member) -> bytes:
                if member.flag_bits & 0x1:
                    raise DocumentError("It is encrypted.")
                with archive.open(member) as part:
                    return part.read()

            sections.add(member.filename, load)
    return _parsed(formats.ZIP, sections, [])


def read_email(stream: BinaryIO, budget: Budget, read: ReadMember) -> Parsed:
    """Read an e-mail: subject as heading, who and when, the body, attachments as sections."""
    message = email.message_from_binary_file(stream, _class=EmailMessage, policy=default)
    subject = _header(message, "Subject") or "E-mail without a subject"
    facts = [f"{name}: {_header(message, name)}" for name in ("From", "To", "Cc", "Date")]
    own = [
        Block("heading", subject, 1),
        Block("text", "\n".join(fact for fact in facts if not fact.endswith(": "))),
    ]
    body = message.get_body(preferencelist=("plain", "html"))
    if isinstance(body, EmailMessage):
        text = _text(body)
        is_html = body.get_content_type() == formats.HTML
        own += blocks_of_html(text) if is_html else blocks_of_text(text)
    own = [block for block in own if block.text]
    budget.add_text(own)
    sections = _Sections(read, budget, level=2)
    for number, part in enumerate(message.iter_attachments(), 1):
        # Pictures inside the text, such as logos of signatures, are no attachments to a reader.
        if (
            part.get_content_maintype() == "image"
            and part.get_content_disposition() != "attachment"
        ):
            continue
        name = part.get_filename() or f"attachment {number}"
        if part.get_content_type() == formats.EMAIL and "." not in name:
            name += ".eml"

        def load(part: EmailMessage = part) -> bytes:
            data = _payload(part)
            budget.unpack(len(data), len(data), 1)
            return data

        sections.add(name, load)
    return _parsed(formats.EMAIL, sections, own)


def _payload(part: EmailMessage) -> bytes:
    if part.get_content_type() == formats.EMAIL:
        inner = part.get_content()
        return inner.as_bytes() if isinstance(inner, EmailMessage) else bytes(inner)
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        raise DocumentError(_DAMAGED)
    return data


def _text(body: EmailMessage) -> str:
    try:
        return str(body.get_content())
    except LookupError:  # a charset that does not exist
        data = body.get_payload(decode=True)
        return data.decode("utf-8", errors="replace") if isinstance(data, bytes) else ""


def _header(message: EmailMessage, name: str) -> str:
    return " ".join(str(message.get(name, "")).split())


def _parsed(media_type: str, sections: _Sections, own: list[Block]) -> Parsed:
    if not own and not sections.blocks:
        reason = f" The first is {sections.skipped[0]}" if sections.skipped else ""
        raise DocumentError(f"No file in the archive can be read.{reason}")
    return Parsed(
        media_type,
        own + sections.blocks,
        pages=sections.pages or None,
        skipped=sections.skipped,
    )
