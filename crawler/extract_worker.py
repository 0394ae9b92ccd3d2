"""A reading process: `python -m crawler.extract_worker MEMORY_BYTES SECONDS`.

Takes documents on its standard input and answers with their readings, one at a time. What it reads may be
hostile, so it has bounds of its own, which hold even where the crawler that started it is gone.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import Any, BinaryIO

from crawler.frames import frame, read_frame
from crawler.reading import Source
from serve_app.domain.errors import FetchError


def main() -> None:
    memory, seconds = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Libraries that print must not speak into the protocol.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _serve(sys.stdin.buffer, answers, seconds)


def _serve(questions: BinaryIO, answers: BinaryIO, seconds: int) -> None:
    from crawler.documents import read

    answers.write(frame({"ready": True}))
    answers.flush()
    while (message := read_frame(questions)) is not None:
        header, body = message
        signal.alarm(seconds)  # its default action ends the process, inside C code too
        number = header.pop("number")
        answers.write(frame({"number": number, **_answer(read, Source(body=body, **header))}))
        answers.flush()
        signal.alarm(0)


def _answer(read: Any, source: Source) -> dict[str, Any]:
    try:
        return {"reading": read(source).to_wire()}
    except FetchError as error:
        return {"error": error.message, "reason": error.reason}
    except MemoryError:
        return {"error": "The document needs more memory than it may have.", "reason": "memory"}
    except Exception as error:  # noqa: BLE001 - supervision: a page that breaks a library is that page's failure
        message = f"The document could not be read ({type(error).__name__})."
        return {"error": message, "reason": "unreadable"}


if __name__ == "__main__":
    main()
