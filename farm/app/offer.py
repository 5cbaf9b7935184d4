"""What is offered where a run would be another crawl than the one in its folder."""

import shlex
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from farm.app.preflight import RunPlan
from farm.frontier.crawl import contradictions
from farm.model.errors import UsageError


def another_crawl(plan: RunPlan, stored: Mapping[str, Any], given: Mapping[str, Any]) -> UsageError:
    """Return the error: how the settings differ, and a folder that is free for the other crawl."""
    return UsageError(
        f"The crawl in {plan.output} was begun with {contradictions(stored, given)}: that is another crawl; "
        f"give it a folder of its own with --output {shlex.quote(str(_free(plan.output)))}, leave the option out "
        "to go on with the crawl that is there, or begin it anew with --fresh."
    )


def _free(folder: Path) -> Path:
    """Return the first of `NAME-2`, `NAME-3`, ... beside the folder that is not there."""
    names = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    return next(path for path in names if not path.exists())
