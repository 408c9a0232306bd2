"""Delivering notices: a real HTTP server that listens, fails, or never answers."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from uuid import UUID

import pytest

from tagging_orchestration.clients.notifier import AppriseNotifier
from tagging_orchestration.core.business.notices import Notice
from tagging_orchestration.core.errors import ConfigurationError, DeliveryUnknown, TransientError
from tagging_orchestration.settings import NotificationChannel

NOTICE = Notice(UUID(int=7), "critical", "付款失敗: Payment failure rate", "- 付款失敗率為 40%\n查看詳情")
SECRET = "s3cr3t-token"


@dataclass
class Hook:
    """A webhook that answers with `status` and keeps what it got."""

    port: int = 0
    status: int = 200
    got: list[dict] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(hook.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield hook
    server.shutdown()
    server.server_close()
    thread.join()


def notifier(monkeypatch: pytest.MonkeyPatch, url: str) -> AppriseNotifier:
    monkeypatch.setenv("ALERT_HOOK", url)
    return AppriseNotifier([NotificationChannel(name="hook", url_env="ALERT_HOOK")])


def test_a_webhook_gets_the_notice(hook: Hook, monkeypatch: pytest.MonkeyPatch):
    notifier(monkeypatch, f"json://127.0.0.1:{hook.port}/{SECRET}").deliver("hook", NOTICE)
    (message,) = hook.got
    assert (message["title"], message["message"], message["type"]) == (NOTICE.title, NOTICE.body, "failure")


class Mailbox(StreamRequestHandler):
    """As much of SMTP as one message needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline():
            verb = line.split()[0].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.letters.append(message_from_bytes(b"".join(lines), policy=default))  # pyright: ignore[reportAttributeAccessIssue]
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 fine\r\n")
            if verb == b"QUIT":
                break


def test_a_mailbox_gets_the_notice(monkeypatch: pytest.MonkeyPatch):
    with ThreadingTCPServer(("127.0.0.1", 0), Mailbox) as server:
        server.letters = []  # pyright: ignore[reportAttributeAccessIssue]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"mailto://127.0.0.1:{server.server_address[1]}?from=shop@a.example&to=mei@b.example"
        notifier(monkeypatch, url).deliver("hook", NOTICE)
        server.shutdown()
        thread.join()
    (letter,) = server.letters  # pyright: ignore[reportAttributeAccessIssue]
    assert (letter["To"], letter["Subject"]) == ("mei@b.example", NOTICE.title)
    assert "付款失敗率為 40%" in letter.get_body(("plain", "html")).get_content()


def test_a_failure_says_why_and_keeps_the_address(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    hook.status = 503
    with caplog.at_level(logging.DEBUG), pytest.raises(TransientError) as failed:
        notifier(monkeypatch, f"json://user:{SECRET}@127.0.0.1:{hook.port}/{SECRET}").deliver("hook", NOTICE)
    assert str(failed.value) == "channel hook answered 503"
    assert SECRET not in caplog.text
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    with pytest.raises(TransientError) as failed:
        notifier(monkeypatch, f"json://127.0.0.1:{closed}/{SECRET}").deliver("hook", NOTICE)
    assert str(failed.value) == "channel hook could not be reached"


def test_no_answer_is_no_proof_that_nothing_arrived(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"json://127.0.0.1:{mute.getsockname()[1]}/{SECRET}?rto=0.2"
        with pytest.raises(DeliveryUnknown) as unknown:
            notifier(monkeypatch, url).deliver("hook", NOTICE)
    assert "may have arrived" in str(unknown.value)
    assert SECRET not in str(unknown.value)


def test_what_is_configured_wrongly_cannot_be_delivered(monkeypatch: pytest.MonkeyPatch, capfd):
    with pytest.raises(ConfigurationError, match="holds no URL that Apprise knows"):
        notifier(monkeypatch, f"nonsense-{SECRET}").deliver("hook", NOTICE)
    with pytest.raises(ConfigurationError, match="ALERT_HOOK is not set"):
        notifier(monkeypatch, " ").deliver("hook", NOTICE)
    with pytest.raises(ConfigurationError, match="no channel pager any more"):
        notifier(monkeypatch, "").deliver("pager", NOTICE)
    assert SECRET not in "".join(capfd.readouterr())


def test_a_channel_without_address_writes_to_the_log(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "tagging.alerts"):
        AppriseNotifier([NotificationChannel(name="log")]).deliver("log", NOTICE)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, f"{NOTICE.title}\n{NOTICE.body}")
