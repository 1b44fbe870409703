"""Sends the pipeline's messages through Airflow's own notifiers: by e-mail, or as JSON to a web hook, as Slack has.

And calls a watchdog elsewhere, which notices when nothing comes any more.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk.bases.notifier import BaseNotifier

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cxr_snapshot.notices import Notice
    from cxr_snapshot.settings import Settings

Event = Literal["published", "quiet", "failed", "asked"]
HTTP_TIMEOUT = 30  # seconds


class SnapshotNotifier(BaseNotifier):
    """Tells people what became of a task; does nothing unless the setting ``notify`` names a connection.

    Args:
        event: what to tell. ``published``: the snapshot that the task verified. ``quiet``: that nothing was new for
            long, where the task returned nothing. ``failed``: the task's error. ``asked``: that a person has to decide.
        edition: that of the DAG; a run may publish under another name.
    """

    def __init__(self, event: Event, edition: str) -> None:
        super().__init__()
        self.event, self.edition = event, edition

    def notify(self, context: Context) -> None:
        """Send the message, if one is due.

        Raises:
            SettingsError: the settings name no connection, or no receiver, to which it could be sent.
        """
        from airflow_runtime import load_settings

        settings = load_settings()
        if settings.notify and (notice := self._notice(context, settings)):
            _notifier(notice, settings).notify(context)  # not called, so that no text is taken for a template

    def _notice(self, context: Context, settings: Settings) -> Notice | None:
        from airflow_runtime import pipeline
        from cxr_snapshot import notices
        from cxr_snapshot.publication.versions import read_pointer
        from cxr_snapshot.store.encoding import parse_json

        instance, edition = context["ti"], context["params"]["edition"] or self.edition
        link = instance.log_url
        if self.event == "failed":
            return notices.failed(instance.task_id, context.get("exception") or "No reason is known.", link, edition)
        if self.event == "asked":
            task: Any = context["task"]
            page = f"{link.partition('?')[0]}/required_actions"
            return notices.asked(task.subject, context["ti"].start_date + task.response_timeout, page, edition)
        with pipeline() as stages:
            store = stages.store.edition(edition)
            if self.event == "published":
                snapshot = instance.xcom_pull(task_ids="publish")
                name = f"{snapshot['version']}/changes.json"
                return notices.published(snapshot, parse_json(store.get(name), store.uri(name)), link)
            latest, _ = read_pointer(store)
        if latest is None or instance.xcom_pull(task_ids=instance.task_id):
            return None
        return notices.quiet(latest, context["dag_run"].run_after.date(), settings.quiet_days, link, edition)


class Heartbeat:
    """Calls the address that the setting ``heartbeat_url`` names; does nothing where there is none.

    It is no notifier: those cannot be callbacks of a whole run in ``dag.test`` (Airflow 3.3.2).

    Args:
        what: ``start``, ``fail``, or empty for a good end: the last part of the address, as healthchecks.io has it
            (https://healthchecks.io/docs/http_api/).
    """

    def __init__(self, what: Literal["start", "fail", ""] = "") -> None:
        self.what = what

    def __call__(self, context: Context) -> None:  # noqa: ARG002
        """Call the address.

        Raises:
            ConnectionError: nobody answered, or not well, in three tries.
        """
        from airflow_runtime import load_settings

        if url := load_settings().heartbeat_url:
            _call(f"{url.rstrip('/')}/{self.what}".rstrip("/"))


def _call(url: str) -> None:
    import requests
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

    # Not the retries of urllib3, which logs the address: by it anybody can call.
    tries = Retrying(
        retry=retry_if_exception_type(requests.RequestException),
        stop=stop_after_attempt(3),
        wait=wait_fixed(1),
        reraise=True,
    )
    with requests.Session() as session:
        session.trust_env = False  # no login of .netrc
        try:
            tries(lambda: session.get(url, timeout=HTTP_TIMEOUT).raise_for_status())
        except requests.RequestException as error:
            raise ConnectionError(
                f"the watchdog of CXR_HEARTBEAT_URL was not reached: {type(error).__name__}"
            ) from None


def _notifier(notice: Notice, settings: Settings) -> BaseNotifier:
    """Return Airflow's notifier for the type of the connection."""
    from airflow_runtime import find_connection
    from cxr_snapshot import shown
    from cxr_snapshot.errors import SettingsError

    name = str(settings.notify)
    connection = find_connection(name)
    if connection is None:
        raise SettingsError(f"there is no Airflow connection {name}, which the setting notify (CXR_NOTIFY) names")
    if connection.conn_type == "http":
        from airflow.providers.http.notifications import HttpNotifier

        body = {"text": shown.slack(f"{notice.subject}\n{notice.text}")}
        return HttpNotifier(http_conn_id=name, json=body, extra_options={"timeout": HTTP_TIMEOUT})
    if connection.conn_type == "smtp":
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        if not settings.notify_to:
            raise SettingsError("the setting notify_to (CXR_NOTIFY_TO) is empty, but must hold e-mail addresses")
        subject, content = shown.line(notice.subject), f"<pre>{html.escape(shown.lines(notice.text))}</pre>"
        return SmtpNotifier(settings.notify_to, subject=subject, html_content=content, smtp_conn_id=name)
    raise SettingsError(f"the connection {name} is of type {connection.conn_type}, but must be of type http or smtp")
