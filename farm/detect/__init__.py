"""Pages that stand in place of the page that was asked for: blocks, captchas, challenges, soft failures.

- `look` is what of a page is looked at, prepared once.
- `rules` is the table of vendors; `vendors` reads it.
- `soft` is what no vendor is behind: soft 404s, login walls, empty shells.
"""

from farm.detect import soft, vendors
from farm.detect.page_features import features_of
from farm.model.page import Detection, RenderedPage

__all__ = ["detect"]


def detect(page: RenderedPage) -> Detection | None:
    """Return what the page is instead of what was asked for; None where it is taken for the real one."""
    look = features_of(page)
    return vendors.find(look) or soft.find(look)
