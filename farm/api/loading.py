"""The `Farm` that `--app MODULE:NAME` names, and the digest of its code."""

import inspect
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import partial
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from farm.model.errors import UsageError
from farm.runtime.user_code import told

is_loading: ContextVar[bool] = ContextVar("is_loading", default=False)
"""Whether a module is being imported for `--app`: it declares a crawl, and must not run one."""


def load_attribute(name: str) -> Any:
    """Return the object that `MODULE:NAME` names, the current folder's modules first.

    Raises UsageError if there is none, with the line at which its module raises.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute.isidentifier():
        raise UsageError(
            f"--app {name}: write MODULE:NAME, such as shop:farm for `farm = Farm()` in shop.py."
        )
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = _imported(name, module_name, folder)
    if not hasattr(module, attribute):
        raise UsageError(f"--app {name}: {module_name} has no {attribute}; name the Farm object of it.")
    return getattr(module, attribute)


def _imported(name: str, module_name: str, folder: str) -> ModuleType:
    token = is_loading.set(True)
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"--app {name}: there is no module {error.name} in {folder} or on Python's path; "
                "run the command where it is."
            ) from None
        raise UsageError(f"--app {name}: {told(error)}; correct it.") from error
    except UsageError as error:
        raise UsageError(f"--app {name}: {error}") from None
    except Exception as error:
        # It is the user's code: any exception is reported with its line.
        raise UsageError(f"--app {name}: {told(error)}; correct it.") from error
    finally:
        is_loading.reset(token)


def digest_of(functions: Iterable[Callable[..., Any]]) -> str:
    """Return a digest (12 hex digits) of the source of the functions' modules; empty without any."""
    sources: dict[str, tuple[str, bytes]] = {}
    """Name and source, by the path."""
    for function in functions:
        code = _code_of(function)
        try:
            path = Path(code.co_filename)
            sources[code.co_filename] = path.name, path.read_bytes()
        except OSError:
            # It was typed into a prompt or a notebook.
            sources[code.co_qualname] = code.co_qualname, code.co_code
    if not sources:
        return ""
    digest = blake2b(digest_size=6)
    for name, source in sorted(sources.values()):
        digest.update(b"%s\0%d\0%s" % (name.encode(), len(source), source))
    return digest.hexdigest()


def _code_of(function: Callable[..., Any]) -> CodeType:
    while isinstance(function, partial):
        function = function.func
    code: CodeType = inspect.unwrap(function).__code__
    return code
