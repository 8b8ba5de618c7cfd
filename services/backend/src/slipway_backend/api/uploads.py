"""Receiving a multipart upload straight into the file store, without a copy in memory."""

from __future__ import annotations

import re

import anyio.to_thread
from fastapi import Request
from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from slipway_backend.errors import Problem
from slipway_backend.files import FileStore, FileTooLarge, IncomingFile

# Boundaries and part headers around the file itself.
ENVELOPE_BYTES = 64 * 1024
FIELD = b"file"
MAX_FIELD_BYTES = 16 * 1024
MAX_FILENAME = 255
_ESCAPED = re.compile("%(22|0[AaDd])")


class Upload:
    """A received file, what its part's headers said about it, and the other fields of the form."""

    def __init__(self, incoming: IncomingFile) -> None:
        self.incoming = incoming
        self.filename = ""
        self.media_type = "application/octet-stream"
        self.fields: dict[str, str] = {}


class _Reader:
    """Collects one part named ``file`` and the named fields; other parts are skipped."""

    def __init__(self, store: FileStore, limit: int, fields: frozenset[str]) -> None:
        self._wanted = fields
        self._fields: dict[str, bytearray] = {}
        self._field: bytearray | None = None
        self._store = store
        self._limit = limit
        self._name = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._active = False
        self._complete = False
        self.upload: Upload | None = None

    def on_part_begin(self) -> None:
        self._headers = {}
        self._active = False
        self._field = None

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if options.get(b"name") != FIELD or b"filename" not in options:
            name = options.get(b"name", b"").decode("latin-1")
            if name in self._wanted:
                self._field = self._fields.setdefault(name, bytearray())
            return
        if self.upload is not None:
            raise Problem(422, "Request not valid", "Upload one file per request.")
        self.upload = Upload(self._store.receive(self._limit))
        self.upload.filename = clean_filename(options[b"filename"])
        declared, _ = parse_options_header(self._headers.get(b"content-type", b""))
        if declared:
            self.upload.media_type = _printable(declared.decode("latin-1"))[:200]
        self._active = True

    def on_end(self) -> None:
        self._complete = True

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._active and self.upload is not None:
            self.upload.incoming.write(data[start:end])
        elif self._field is not None:
            self._field += data[start:end]
            if len(self._field) > MAX_FIELD_BYTES:
                raise Problem(
                    422, "Request not valid", f"A form field has more than {MAX_FIELD_BYTES} bytes."
                )

    def result(self) -> Upload:
        """Return the upload; raise a 422 problem when it is missing, empty or cut off."""
        if not self._complete:
            raise MultipartParseError("no closing boundary")
        if self.upload is None:
            raise Problem(
                422, "Request not valid", "The request holds no part named `file` with a file name."
            )
        if self.upload.incoming.bytes == 0:
            raise Problem(
                422,
                "Empty file",
                f"The file {self.upload.filename!r} is empty (0 bytes): nothing was stored.",
            )
        self.upload.fields = {
            name: bytes(value).decode("utf-8", errors="replace")
            for name, value in self._fields.items()
        }
        return self.upload

    def discard(self) -> None:
        """Forget what was received."""
        if self.upload is not None:
            self.upload.incoming.discard()


def clean_filename(raw: bytes) -> str:
    """The last part of a client's file name, without control characters or folders."""
    # What clients escape in a form's file names; any other percent sign is the name's own.
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), raw.decode("utf-8", errors="replace"))
    name = _printable(text.replace("\\", "/").rpartition("/")[2]).strip()
    return name[-MAX_FILENAME:] or "unnamed"


def _printable(text: str) -> str:
    return "".join(sign for sign in text if sign.isprintable())


async def receive_upload(
    request: Request, store: FileStore, limit: int, fields: frozenset[str] = frozenset()
) -> Upload:
    """Stream the request's ``file`` part into the store's incoming folder, synced to disk.

    Small text parts with names among ``fields`` are kept too.

    Raises Problem: 413 above ``limit`` bytes, 415 for another content type, 422 without a file or
    with an empty one.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Problem(
            415,
            "Not a file upload",
            "Send the document as multipart/form-data in a part named `file`.",
        )
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit + ENVELOPE_BYTES:
        raise too_large(limit)
    reader = _Reader(store, limit, fields)
    try:
        await _feed(request, reader, boundary, limit)
        upload = reader.result()
        await anyio.to_thread.run_sync(upload.incoming.sync)
    except FileTooLarge:
        reader.discard()
        raise too_large(limit) from None
    except FormParserError:
        reader.discard()
        raise Problem(
            422, "Request not valid", "The multipart body is cut off or malformed."
        ) from None
    except BaseException:
        reader.discard()
        raise
    return upload


async def _feed(request: Request, reader: _Reader, boundary: bytes, limit: int) -> None:
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": reader.on_part_begin,
            "on_part_data": reader.on_part_data,
            "on_header_field": reader.on_header_field,
            "on_header_value": reader.on_header_value,
            "on_header_end": reader.on_header_end,
            "on_headers_finished": reader.on_headers_finished,
            "on_end": reader.on_end,
        },
    )
    received = 0
    async for data in request.stream():
        received += len(data)
        if received > limit + ENVELOPE_BYTES:
            raise FileTooLarge
        if data:
            await anyio.to_thread.run_sync(parser.write, data)
    parser.finalize()


def too_large(limit: int) -> Problem:
    """A 413 problem.

    It does not close the connection: bytes that nobody read would reset it before the client has
    this answer. The HTTP server throws the rest of the body away as it comes.
    """
    return Problem(
        413,
        "File too large",
        f"The file is larger than the {limit} bytes that are accepted: split it, or ask the "
        "operator to raise MAX_UPLOAD_BYTES.",
    )
