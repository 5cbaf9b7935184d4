"""Detects pages that replace the requested one: blocks, captchas, challenges, soft failures.

- `page_features` prepares the features of a page once for all rules.
- `rules` are the block pages of vendors.
- `soft` detects pages that are not a vendor's: soft 404s, login walls, empty shells.
"""

from farm.detect import rules, soft
from farm.detect.page_features import features_of
from farm.model.page import Detection, RenderedPage

__all__ = ["detect"]


def detect(page: RenderedPage) -> Detection | None:
    """Return what the page is instead of the requested one; None if it seems to be the requested one."""
    features = features_of(page)
    return rules.find(features) or soft.find(features)
