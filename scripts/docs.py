"""Write what the documents take from the code: the pages of repairs and translations, README.md's table."""

import re
from pathlib import Path

from proxy.wire.document import markdown, table
from proxy.wire.repairs import ORDER
from proxy.wire.translations.document import as_markdown

ROOT = Path(__file__).parents[1]
TABLE = re.compile(r"(<!-- repairs: [^\n]*-->\n).*(<!-- end of repairs -->)", re.DOTALL)


def readme() -> str:
    """Return README.md with its table written anew."""
    return TABLE.sub(
        lambda match: f"{match[1]}\n{table(ORDER)}\n{match[2]}", (ROOT / "README.md").read_text("utf-8")
    )


if __name__ == "__main__":
    (ROOT / "README.md").write_text(readme(), "utf-8")
    (ROOT / "docs" / "repairs.md").write_text(markdown(ORDER), "utf-8")
    (ROOT / "docs" / "translations.md").write_text(as_markdown(), "utf-8")
