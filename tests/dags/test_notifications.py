"""Messages leave through Airflow's own notifiers, and only where they are asked for."""

from __future__ import annotations

import email
import email.policy
import json
import logging
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from cxr_snapshot.errors import GuardError, SettingsError
from cxr_snapshot.settings import Settings
from cxr_snapshot.shown import line
from cxr_snapshot.store.objects import Store
from support.hostile import PIECES
from support.rendered import Page

pytestmark = pytest.mark.usefixtures("dag_bag")


def notifier_of(event: str) -> Callable[[Any], None]:
    from airflow_notify import SnapshotNotifier  # imports Airflow, which not every worker needs

    return SnapshotNotifier(event, "default")


def context(task_id: str, returned: object = None, exception: object = None) -> Any:
    """Return as much of a task's context as a notifier looks at."""
    instance = SimpleNamespace(task_id=task_id, log_url="http://log", xcom_pull=lambda task_ids: returned)
    run = SimpleNamespace(run_after=datetime(2026, 11, 30, 3, tzinfo=UTC))
    return {"ti": instance, "dag_run": run, "exception": exception, "params": {"edition": None}}


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serve SMTP, with the Airflow connection ``mail`` to it, and collect what is sent there."""
    received: list[str] = []

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 ready\r\n")
            while verb := self.rfile.readline()[:4].upper():
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    received.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.org"}
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": server.server_address[1], "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps(connection))
        yield received
        server.shutdown()


def test_nothing_is_sent_unless_configured(configure: Callable[..., None], hook_messages: list[dict[str, str]]) -> None:
    notifier_of("failed")(context("audit", exception=ValueError("bad")))
    assert hook_messages == []
    configure(notify="hook")
    notifier_of("failed")(context("audit", exception=ValueError("bad {{ template }}")))
    assert hook_messages == [{"text": "Chest X-ray snapshot: audit failed\nbad {{ template }}\nLog: http://log"}]


def test_mail(configure: Callable[..., None], mails: list[str]) -> None:
    configure(notify="mail", notify_to="team@example.org,lead@example.org")
    notifier_of("failed")(context("ingest", exception=ValueError("1 < 2")))
    mail = email.message_from_string(mails[0], policy=email.policy.default)
    assert mail["To"] == "team@example.org, lead@example.org"
    assert mail["From"] == "airflow@example.org"
    assert mail["Subject"] == "Chest X-ray snapshot: ingest failed"
    assert next(mail.iter_parts()).get_content().strip() == "<pre>1 &lt; 2\nLog: http://log</pre>"


def test_what_strangers_wrote_does_nothing_in_slack(
    configure: Callable[..., None], hook_messages: list[dict[str, str]]
) -> None:
    configure(notify="hook")
    notifier_of("failed")(context("audit", exception=GuardError("".join(PIECES))))
    text = hook_messages[0]["text"]
    assert not re.search("[<>]|&(?!amp;|lt;|gt;)", text)
    assert len(text.splitlines()) == 3
    assert "&lt;!channel&gt;" in text


def test_what_strangers_wrote_does_nothing_in_a_mail(configure: Callable[..., None], mails: list[str]) -> None:
    configure(notify="mail", notify_to="team@example.org")
    notifier_of("failed")(context("a\r\nBcc: eve@example.org", exception=ValueError("".join(PIECES))))
    mail = email.message_from_string(mails[0], policy=email.policy.default)
    assert mail["Bcc"] is None
    assert mail["Subject"] == "Chest X-ray snapshot: a\\r\\nBcc: eve@example.org failed"
    page = Page(next(mail.iter_parts()).get_content())
    assert page.elements == [("pre", ())]
    assert line(page.text.replace("\n", "")) == page.text.replace("\n", "")


def test_quiet_nights(configure: Callable[..., None], store: Store, hook_messages: list[dict[str, str]]) -> None:
    configure(notify="hook", quiet_days=7)
    notifier = notifier_of("quiet")
    notifier(context("poll"))  # there is no snapshot yet
    store.put_json("latest.json", {"version": "2026-11-23"})
    notifier(context("poll", returned={"folder": "_work/runs/x"}))  # there is something to do
    assert hook_messages == []
    notifier(context("poll"))
    assert ["nothing new for 7 days" in message["text"] for message in hook_messages] == [True]


@pytest.mark.parametrize(
    ("settings", "connection", "problem"),
    [
        ({"notify": "nowhere"}, None, "there is no Airflow connection nowhere"),
        ({"notify": "there"}, {"conn_type": "smtp"}, "CXR_NOTIFY_TO"),
        ({"notify": "there"}, {"conn_type": "ftp"}, "must be of type http or smtp"),
    ],
)
def test_settings_that_cannot_work_are_named(
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    connection: dict[str, str] | None,
    problem: str,
) -> None:
    configure(**settings)
    if connection:
        monkeypatch.setenv("AIRFLOW_CONN_THERE", json.dumps(connection))
    with pytest.raises(SettingsError, match=problem):
        notifier_of("failed")(context("audit"))


def test_a_watchdog_that_is_away_is_named_without_its_address(
    configure: Callable[..., None], heartbeats: tuple[str, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    from airflow_notify import Heartbeat

    caplog.set_level(logging.INFO)
    configure()
    Heartbeat()(context("poll"))
    assert heartbeats[1] == [], "nobody asked for it"
    configure(heartbeat_url="http://127.0.0.1:9/ping/a-secret-name")
    with pytest.raises(ConnectionError, match="CXR_HEARTBEAT_URL was not reached: ConnectionError") as caught:
        Heartbeat("fail")(context("poll"))
    assert "a-secret-name" not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    with pytest.raises(SettingsError, match=r"^setting heartbeat_url \(CXR_HEARTBEAT_URL\) is no http\(s\) URL"):
        Settings.load({"bucket": "abc", "heartbeat_url": "a-secret-name"}, environ={})
    assert "a-secret" not in repr(Settings.load({"bucket": "abc", "heartbeat_url": "http://a-secret"}, environ={}))
