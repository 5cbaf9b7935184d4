"""Pages that stand in place of the page that was asked for: blocks, captchas, challenges, soft failures.

- `page_features` prepares once what the rules read of a page.
- `rules` is the table of vendors; `vendors` reads it.
- `soft` is what no vendor is behind: soft 404s, login walls, empty shells.
"""

from farm.detect import soft, vendors
from farm.detect.page_features import features_of
from farm.model.page import Detection, RenderedPage

__all__ = ["detect"]


def detect(page: RenderedPage) -> Detection | None:
    """Return what the page is instead of what was asked for; None where it is taken for the real one."""
    features = features_of(page)
    return vendors.find(features) or soft.find(features)
