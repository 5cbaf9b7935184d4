"""What Redis keeps of cheap renderers, in a few lines of Python: for simulations, and to compare scripts with."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace

from farm.model.page import Renderer
from farm.model.tiers import MOST_PENDING, Evidence, TierNote, TierNotes, TierState

UNFIT_IN_A_ROW = 5


class TierModel:
    """One site; pages are called by their numbers."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, Renderer], TierState] = defaultdict(TierState)
        self.pending: dict[tuple[str, Renderer], list[tuple[int, int]]] = defaultdict(list)
        self.pooled: Counter[Renderer] = Counter()
        self.taken: Counter[Renderer] = Counter()
        self.pages_by_share: Counter[int] = Counter()
        self.sums: Counter[str] = Counter()

    def known(self, template: str) -> Mapping[Renderer, TierState]:
        """Return what an acknowledgement tells of a template."""
        return {
            one: replace(self.states[template, one], pooled=self.pooled[one], site_taken=self.taken[one])
            for one in (Renderer.FETCH, Renderer.LIGHT)
        }

    def note(self, notes: TierNotes, page: int) -> list[int]:
        """Take what the visit of a page shows; return the pages to be visited again."""
        return [again for one in notes.notes for again in self._note(notes.template, one, page)]

    def _note(self, template: str, note: TierNote, page: int) -> list[int]:
        key = template, note.renderer
        state = self.states[key]
        if note.evidence in (Evidence.AGREED, Evidence.DIFFERED):
            self.sums["audits" if note.share else "compared"] += 1
        if note.evidence is Evidence.DIFFERED:
            self.sums["differed"] += note.share > 0
        match note.evidence:
            case Evidence.TAKEN:
                self.states[key] = replace(state, unfit=0)
                if state.failures != note.failures or state.pending >= MOST_PENDING:
                    return self._again([page])
                self.pending[key].append((page, note.share))
                self.states[key] = replace(state, unfit=0, taken=state.taken + 1)
                self.taken[note.renderer] += 1
                self.pages_by_share[note.share] += 1
            case _ if state.failures != note.failures:
                return []
            case Evidence.AGREED:
                self.pooled[note.renderer] += state.failures == 0
                confirmed = max(state.confirmed, min(note.confirms, state.taken))
                del self.pending[key][: confirmed - state.confirmed]
                self.states[key] = replace(state, agreed=state.agreed + 1, unfit=0, confirmed=confirmed)
            case Evidence.DIFFERED:
                return self._fail(key)
            case Evidence.UNFIT:
                self.states[key] = replace(state, unfit=state.unfit + 1)
                if state.unfit + 1 >= UNFIT_IN_A_ROW:
                    return self._fail(key)
        return []

    def _fail(self, key: tuple[str, Renderer]) -> list[int]:
        state, pages = self.states[key], self.pending.pop(key, [])
        if state.failures == 0:
            self.pooled[key[1]] -= state.agreed
        self.pages_by_share.subtract(share for _, share in pages)
        self.states[key] = TierState(failures=state.failures + 1, taken=state.taken, confirmed=state.taken)
        return self._again([page for page, _ in pages])

    def _again(self, pages: list[int]) -> list[int]:
        self.sums["requeued"] += len(pages)
        return pages
