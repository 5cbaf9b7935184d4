"""What is told to others, joined: the user's webhook, and what collects traces."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from farm import __version__
from farm.app.session import CrawlSession
from farm.egress.poster import HttpPoster
from farm.egress.webhook import WebhookClient, read_key
from farm.frontier.dead import DeadLetter
from farm.frontier.frontier import RedisFrontier
from farm.model.clock import Clock
from farm.model.crawl import Stats
from farm.model.errors import UsageError
from farm.monitor.traces import Tracer
from farm.runtime.control import ExitReason
from farm.runtime.webhooks import Webhooks
from farm.settings.commands import RunSettings

LIMITS = frozenset({ExitReason.LIMIT, ExitReason.TIME_LIMIT, ExitReason.DISK_LIMIT, ExitReason.PROXY_BYTES})
LAST_S = 10.0
"""How long the end of a run waits for the webhook; what is not taken by then waits in Redis for the next run."""


def webhook_client(settings: RunSettings) -> WebhookClient | None:
    """Return what posts to the webhook; None without one. Raises UsageError where it cannot be meant."""
    if settings.webhook is None or settings.webhook_secret_file is None:
        return None
    return WebhookClient(settings.webhook, read_key(settings.webhook_secret_file), settings.ca_file)


def webhooks(session: CrawlSession, clock: Clock) -> Webhooks | None:
    """Return what tells the webhook of a crawl; None without one."""
    client = webhook_client(session.plan.settings)
    if client is None:
        return None

    async def letter(fingerprint: str) -> Mapping[str, Any] | None:
        return await _letter(session.frontier, fingerprint)

    hooks = session.frontier.hooks
    return Webhooks(session.crawl.name, session.node, hooks, client.post, letter, clock)


def trace_poster(settings: RunSettings) -> HttpPoster | None:
    """Return what sends traces; None where they are not wanted. Raises UsageError for what is no address."""
    if settings.otlp is None:
        return None
    return HttpPoster("--otlp", settings.otlp, settings.ca_file, "/v1/traces")


def tracer(session: CrawlSession, clock: Clock) -> Tracer | None:
    """Return what traces the visits of a run; None where that is not wanted."""
    poster = trace_poster(session.plan.settings)
    if poster is None:
        return None
    service = {
        "service.name": "farm",
        "service.version": __version__,
        "service.instance.id": session.node,
        "farm.crawl": session.crawl.name,
    }
    return Tracer(service, partial(poster.post, {}), clock)


async def tell_end(hooks: Webhooks, reason: ExitReason | None, stats: Stats) -> None:
    """Announce the end of a run, if it is one that is told, and deliver what waits."""
    kind = "crawl_finished" if reason is ExitReason.FINISHED else "budget_reached" if reason in LIMITS else ""
    ledger = stats.ledger
    counts = {"accepted": ledger.accepted, "open": ledger.open, "done": ledger.done, "dead": ledger.dead}
    limit = {"limit": str(reason)} if reason in LIMITS else {}
    await hooks.end(kind, {**limit, **counts}, LAST_S)


async def _letter(frontier: RedisFrontier, fingerprint: str) -> Mapping[str, Any] | None:
    try:
        found: DeadLetter = await frontier.dead.show(fingerprint)
    except UsageError:
        return None
    return {
        "url": found.task.url if found.task is not None else None,
        "site": found.task.site if found.task is not None else None,
        "detail": found.detail,
        "attempts": found.attempts,
    }
