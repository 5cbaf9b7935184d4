"""What the farm's processes are given of its environment: what programs need to run, by name, and nothing else.

An environment is where secrets are handed over (`FARM_REDIS`, tokens of whatever else runs here), every process
inherits it, and a browser is the one that executes what strangers write.
"""

from collections.abc import Mapping

KEPT = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "FONTCONFIG_PATH",
    "FONTCONFIG_FILE",
)


def kept(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of an environment is handed on."""
    return {name: environment[name] for name in KEPT if name in environment}
