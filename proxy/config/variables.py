"""`${NAME}` and `${NAME:-default}` in values, filled in from the environment."""

import re
from collections.abc import Mapping

from proxy.config.tree import did_you_mean

_REFERENCE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}|(\{))", re.ASCII)


def expand(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """Fill in variables; `$$` becomes `$`, and a `$` before anything but `{` or `$` stays.

    Args:
        text: a value as written. What a variable holds is not looked at again.
        environ: the variables. An empty one counts as missing, as in a shell's `:-`.

    Returns:
        The new text, and what is wrong with it.
    """
    problems: list[str] = []

    def replace(match: re.Match[str]) -> str:
        dollar, name, default, brace = match.groups()
        if dollar:
            return "$"
        if brace:
            problems.append("must have ${NAME} or ${NAME:-default}; for ${ itself write $${")
            return match[0]
        if environ.get(name):
            return environ[name]
        if default is None:
            state = "is empty" if name in environ else "is not set"
            hint = "" if name in environ else did_you_mean(name, environ)
            problems.append(f"the variable {name} {state}{hint}; ${{{name}:-…}} gives a default")
        return default or ""

    return _REFERENCE.sub(replace, text), problems
