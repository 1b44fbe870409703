"""How each service words a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from upstream_simulator.messages import Response, bytes_response, json_response, text_response

LIST_COMMITS = "https://docs.github.com/rest/commits/commits#list-commits"
GET_COMMIT = "https://docs.github.com/rest/commits/commits#get-a-commit"
GET_TREE = "https://docs.github.com/rest/git/trees#get-a-tree"
ANY_ENDPOINT = "https://docs.github.com/rest"

# The page that GitHub's API answers in HTML when a request takes too long: https://github.com/PyGithub/PyGithub/issues/2047
_UNICORN = """<!DOCTYPE html>\r
\r
<html>\r
  <head>\r
    <title>Unicorn! &middot; GitHub</title>\r
  </head>\r
  <body>\r
    <p><strong>We had issues producing the response to your request.</strong></p>\r
  </body>\r
</html>\r
"""


def github(
    status: int, message: str, documentation: str = ANY_ENDPOINT, headers: Mapping[str, str] | None = None
) -> Response:
    """Refuse as GitHub's REST API does: ``basic-error`` and ``validation-error`` of its OpenAPI description."""
    problem = {"message": message, "documentation_url": documentation, "status": str(status)}
    return json_response(status, problem, headers)


def unicorn(status: int) -> Response:
    """Fail as GitHub does when it is overloaded."""
    return bytes_response(status, _UNICORN.encode(), "text/html; charset=utf-8")


def kaggle(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Refuse as Kaggle's API does: https://github.com/Kaggle/kaggle-cli/issues/1053."""
    return json_response(status, {"code": status, "message": message}, headers)


def nested(status: int, message: str) -> Response:
    """Refuse in the form of Google's own APIs: https://google.aip.dev/193."""
    return json_response(status, {"error": {"code": status, "message": message}})


def storage(
    status: int, code: str, message: str, details: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """Refuse as Google Cloud Storage does: https://cloud.google.com/storage/docs/xml-api/reference-status."""
    more = f"<Details>{details}</Details>" if details else ""
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
    return bytes_response(status, body.encode(), "application/xml; charset=UTF-8", headers)


def expired() -> Response:
    """Refuse a signed address that is too old: 400, as https://github.com/floci-io/floci-gcp/issues/32 says.

    The text is as in https://github.com/fog/fog-google/issues/264.
    """
    return storage(400, "ExpiredToken", "The provided token has expired.", "Request has expired.")


def of_place(target: str, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Refuse in the words of the service to which a request with this path belongs."""
    place = target.split("/")[1]
    if place == "kaggle-storage":
        return storage(status, HTTPStatus(status).phrase.replace(" ", ""), message, headers=headers)
    if place in ("github-raw", "github-codeload"):
        return text_response(status, f"{status}: {message}", headers)
    return kaggle(status, message, headers) if place == "kaggle-api" else github(status, message, headers=headers)
