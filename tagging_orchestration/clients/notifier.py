"""Delivering notices through Apprise: webhooks, e-mail, chats, by one URL; or to the log."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tagging_orchestration.core.business.notices import Notice
from tagging_orchestration.core.errors import ConfigurationError, DeliveryUnknown, TransientError
from tagging_orchestration.settings import NotificationChannel

LOG = logging.getLogger("tagging.alerts")
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}
# A gateway that lost the answer cannot tell what became of the message.
_GATEWAY_ERRORS = ("502", "504")
# How Apprise names kinds of messages.
_KINDS = {"info": "info", "warning": "warning", "critical": "failure"}


class AppriseNotifier:
    """`Notifier` over the channels of tagging.yaml. Addresses are read from the environment when they are
    needed, and stand in no log and no error."""

    def __init__(self, channels: Sequence[NotificationChannel]) -> None:
        self._channels = {channel.name: channel for channel in channels}

    def deliver(self, channel: str, notice: Notice) -> None:
        """Send one notice. Raises as `Notifier.deliver` says."""
        settings = self._channels.get(channel)
        if settings is None:
            raise ConfigurationError(f"tagging.yaml has no channel {channel} any more (business.notify)")
        if settings.url_env is None:
            LOG.log(_LEVELS[notice.severity], "%s\n%s", notice.title, notice.body)
            return
        url = os.environ.get(settings.url_env, "").strip()
        if not url:
            raise ConfigurationError(f"the environment variable {settings.url_env} is not set (channel {channel})")
        _send(channel, settings.url_env, url, notice)


def _send(channel: str, variable: str, url: str, notice: Notice) -> None:
    import apprise

    with _captured("apprise", "urllib3") as said:
        sender = apprise.Apprise()
        if not sender.add(url):
            raise ConfigurationError(f"{variable} holds no URL that Apprise knows (channel {channel})")
        if len(sender) != 1:
            raise ConfigurationError(f"{variable} holds {len(sender)} URLs: give each a channel of its own")
        # Said to be plain text, what people wrote can be no markup where a channel shows HTML.
        if sender.notify(
            title=notice.title,
            body=notice.body,
            notify_type=apprise.NotifyType(_KINDS[notice.severity]),
            body_format=apprise.NotifyFormat.TEXT,
        ):
            return
    # What the library logs may hold the address, so only what it means is passed on.
    log = said.getvalue()
    if re.search(r"[Rr]ead timed out|timed out.*read|Connection aborted|RemoteDisconnected", log):
        raise DeliveryUnknown(f"channel {channel} did not answer in time: the message may have arrived")
    status = re.search(r"error=(\d{3})\b", log)
    if status and status[1] in _GATEWAY_ERRORS:
        raise DeliveryUnknown(f"channel {channel} answered {status[1]}: the message may have arrived")
    raise TransientError(
        f"channel {channel} answered {status[1]}" if status else f"channel {channel} could not be reached"
    )


@contextmanager
def _captured(*names: str) -> Iterator[io.StringIO]:
    """Everything that these loggers say, kept from all other logs."""
    said = io.StringIO()
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [logging.StreamHandler(said)], False
        logger.setLevel(logging.DEBUG)
    try:
        yield said
    finally:
        for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
