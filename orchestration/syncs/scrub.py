"""Takes people out of what a tool says before it is kept: tools like to repeat addresses."""

import re
from collections.abc import Iterable

ADDRESS = re.compile(r"[^\s<>\"'(),;:=]+@[^\s<>\"'(),;:=]+")
LONG_NUMBER = re.compile(r"\+?\d(?:[\s().-]{0,3}\d){5,}")
MAX_LENGTH = 200


def scrub(text: str | None, known: Iterable[str | None] = ()) -> str | None:
    """The text without addresses, long numbers and the row's own values, cut to size."""
    if text is None:
        return None
    words = {value.strip() for value in known if value and len(value.strip()) > 2}
    words |= {part for word in words if "@" in word for part in word.split("@") if len(part) > 2}
    for word in sorted(words, key=lambda word: (-len(word), word)):
        text = re.sub(re.escape(word), "[value]", text, flags=re.IGNORECASE)
    text = ADDRESS.sub("[address]", text)
    text = LONG_NUMBER.sub("[number]", text)
    return " ".join(text.split())[:MAX_LENGTH]
