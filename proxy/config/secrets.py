"""Keys: from the file, from the environment, from files of their own; never shown again."""

import hashlib
import hmac
import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, SecretStr, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from proxy.config.files import read_start, resolve

FILE: Final = "file:"
SHA256: Final = "sha256:"
_HIDDEN: Final = "**********"
_LONGEST_FILE: Final = 65536
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII | re.IGNORECASE)
# What a header's value may hold: RFC 9110, section 5.5, without its obsolete bytes.
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def read_secret(value: object, info: ValidationInfo) -> str:
    """Return a secret's text: `value` itself, or the content of the file it names.

    No message of this function holds what it was given, except for a file's name.

    Raises:
        ValueError: it is not text, is empty, is not fit for a header, or its file cannot be read.
    """
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if not isinstance(value, str):
        raise ValueError("must be text")
    text = str(value)
    if text.startswith(FILE):
        path = resolve(text.removeprefix(FILE), info)
        content = read_start(path, _LONGEST_FILE)
        text = content.decode("latin-1").rstrip("\r\n")
    if not text:
        raise ValueError("is empty")
    if not _HEADER_VALUE.fullmatch(text):
        raise ValueError("must be one line of printable ASCII without spaces around it")
    return text


#: A secret that goes upstream, as a key of the schema.
Secret = Annotated[SecretStr, BeforeValidator(read_secret)]


class KeyDigest:
    """A client's key, of which only the SHA-256 digest is kept."""

    __slots__ = ("_digest",)

    def __init__(self, digest: bytes):
        """Take the 32 bytes of the digest."""
        self._digest = digest

    @classmethod
    def read(cls, value: object, info: ValidationInfo) -> "KeyDigest":
        """Read `sha256:<hex>`, a plain key, or `file:` with either in it; raises ValueError."""
        if isinstance(value, cls):
            return value
        text = read_secret(value, info)
        if not text.startswith(SHA256):
            return cls(hashlib.sha256(text.encode()).digest())
        if not _DIGEST.fullmatch(text.removeprefix(SHA256)):
            raise ValueError(f"after {SHA256} must come 64 hexadecimal digits")
        return cls(bytes.fromhex(text.removeprefix(SHA256)))

    def matches(self, presented: str) -> bool:
        """Tell whether `presented` is the key, in a time that does not tell how close it is."""
        digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(digest, self._digest)

    def __eq__(self, other: object) -> bool:
        """Compare digests, so that a reload can tell what has changed."""
        return isinstance(other, KeyDigest) and hmac.compare_digest(self._digest, other._digest)

    def __hash__(self) -> int:
        """Agree with `__eq__`."""
        return hash(self._digest)

    def __repr__(self) -> str:
        """Show that there is one."""
        return f"KeyDigest('{_HIDDEN}')"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Tell pydantic to read with `read`, and to write nothing that could be read again."""
        return core_schema.with_info_plain_validator_function(
            cls.read,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: _HIDDEN),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Tell editors that it is text."""
        return {"type": "string"}
