"""Notifications to others: the user's webhook, and the collector of traces."""

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
"""How long the end of a run waits for the webhook; events not accepted by then wait in Redis for the next run."""


def webhook_client(settings: RunSettings) -> WebhookClient | None:
    """Return the client of the webhook; None without one. Raises UsageError if its address is invalid."""
    if settings.webhook is None or settings.webhook_secret_file is None:
        return None
    return WebhookClient(settings.webhook, read_key(settings.webhook_secret_file), settings.ca_file)


def webhooks(session: CrawlSession, clock: Clock) -> Webhooks | None:
    """Return the sender of a crawl's events to the webhook; None without one."""
    client = webhook_client(session.plan.settings)
    if client is None:
        return None

    async def letter(fingerprint: str) -> Mapping[str, Any] | None:
        return await _letter(session.frontier, fingerprint)

    hooks = session.frontier.hooks
    return Webhooks(session.crawl.name, session.node, hooks, client.post, letter, clock)


def trace_poster(settings: RunSettings) -> HttpPoster | None:
    """Return the client of the trace collector; None without one. Raises UsageError for an invalid address."""
    if settings.otlp is None:
        return None
    return HttpPoster("--otlp", settings.otlp, settings.ca_file, "/v1/traces")


def tracer(session: CrawlSession, clock: Clock) -> Tracer | None:
    """Return the tracer of a run's visits; None without a collector."""
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


async def announce_end(hooks: Webhooks, reason: ExitReason | None, stats: Stats) -> None:
    """Announce the end of a run, if its reason has an event, and deliver the waiting events."""
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
