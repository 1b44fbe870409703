"""The routes. Each needs a signed-in user of Airflow who may read the DAG; none is open, not even the style sheet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from airflow_runtime import store_for_pages
from cxr_snapshot.audit import LOST, PAGE
from cxr_snapshot.catalog.reading import find_edition, resolve
from cxr_snapshot.catalog.side_by_side import newest_of_all, rows_of
from cxr_snapshot.editions import DAG_ID, dag_id, edition_of
from cxr_snapshot.errors import MissingObjectError, SettingsError, SnapshotError, StorageUnavailableError
from cxr_snapshot.settings import DEFAULT_EDITION
from cxr_snapshot.store.objects import Store
from snapshot_pages_app.comparing import compare_snapshots
from snapshot_pages_app.freshness import last_good_run
from snapshot_pages_app.gallery import load_excluded, load_gallery
from snapshot_pages_app.one_image import find_image, load_image, load_original, load_picture
from snapshot_pages_app.reading import download_address, list_snapshots, load_draft, load_snapshot
from snapshot_pages_app.rendering import SCRIPT_HASH, base_of, render

HERE = Path(__file__).parent

# Nothing runs but the few lines that follow Airflow's light or dark mode, known by their hash; nothing is loaded from
# elsewhere; Airflow, on the same host, shows the pages in a frame.
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; script-src {SCRIPT_HASH}; style-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
    "Vary": "Cookie, Authorization",
}
AUDIT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
CACHED = {"Cache-Control": "private, max-age=600"}
LINK_SECONDS = 300  # validity of a download link; it is made when it is followed

app = FastAPI(
    title="Snapshot pages",
    dependencies=[Depends(requires_access_dag("GET", param_dag_id=DAG_ID))],
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
)


def open_store() -> Store:
    """Return the store that the DAG writes to."""
    return store_for_pages()


def open_edition(request: Request, store: Annotated[Store, Depends(open_store)]) -> Store:
    """Return the store as the edition in the address sees it."""
    return find_edition(store, request.path_params.get("edition", DEFAULT_EDITION))


StoreDep = Annotated[Store, Depends(open_edition)]
PageDep = Annotated[int, Query(ge=1, le=100_000)]
_LONGEST = 1024  # characters of what is asked for: the longest path of an upstream
TextDep = Annotated[str, Query(max_length=_LONGEST)]
router = APIRouter()


@app.middleware("http")
async def add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Send the security headers with every answer."""
    response = await call_next(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


@router.get("/style.css")
def style() -> FileResponse:
    """Return the style sheet."""
    return FileResponse(HERE / "style.css", media_type="text/css", headers=CACHED)


@router.get("/", response_class=HTMLResponse)
def snapshots(
    request: Request, store: StoreDep, session: SessionDep, page: Annotated[int, Query(ge=1, le=10_000)] = 1
) -> Response:
    """List all snapshots, the newest first."""
    dag, editions = dag_id(store.edition_name), store.editions()
    run = last_good_run(session, dag)
    return render(
        request, "list.html", listing=list_snapshots(store, page), store=store, editions=editions, dag_id=dag, run=run
    )


@app.get("/dags/{dag}")
def dag_tab(request: Request, store: Annotated[Store, Depends(open_store)], dag: str) -> Response:
    """Lead to the list of what a DAG publishes: Airflow shows the tab on every DAG, and can be told of no other way."""
    edition, root = edition_of(dag), request.scope["root_path"]
    if edition is None:
        title = "This DAG publishes no snapshots"
        remedy = f"Airflow shows this tab on every DAG. {DAG_ID} publishes them, and a DAG for each other edition."
        return render(request, "error.html", status=404, title=title, remedy=remedy)
    if edition not in store.editions():
        remedy = f"The first run of {dag} that succeeds makes it. Switch the DAG on if it is paused, and press Trigger."
        return render(request, "error.html", status=404, title="There is no snapshot yet", remedy=remedy)
    return RedirectResponse(f"{root}/" if edition == DEFAULT_EDITION else f"{root}/editions/{edition}/", 303)


@app.get("/editions", response_class=HTMLResponse)
def editions(request: Request, store: Annotated[Store, Depends(open_store)]) -> Response:
    """Show the newest snapshots of all editions side by side."""
    entries = newest_of_all(store)
    return render(request, "editions.html", entries=entries, rows=rows_of(entries), store=store)


@router.get("/compare", response_class=HTMLResponse)
def comparison(
    request: Request,
    store: StoreDep,
    old: Annotated[str, Query(alias="from")] = "",
    new: Annotated[str, Query(alias="to")] = "",
) -> Response:
    """Compare two snapshots; without names the newest two."""
    return render(request, "compare.html", comparison=compare_snapshots(store, old, new), store=store)


@router.get("/snapshots/{version}", response_class=HTMLResponse)
def snapshot(request: Request, store: StoreDep, version: str) -> Response:
    """Show one snapshot."""
    return render(request, "snapshot.html", shown=load_snapshot(store, version), store=store)


@router.get("/snapshots/{version}/preview.jpg")
def preview(store: StoreDep, version: str) -> Response:
    """Return the contact sheet."""
    body = store.get(f"{resolve(store, version)}/preview.jpg")
    return Response(body, media_type="image/jpeg", headers=CACHED)


@router.get("/snapshots/{version}/audit.html", response_class=HTMLResponse)
def audit(store: StoreDep, version: str) -> Response:
    """Return the audit's own page. Its style and pictures are inside it; no script, form or anything else works."""
    body = store.get(f"{resolve(store, version)}/{PAGE}")
    return HTMLResponse(body, headers={"Content-Security-Policy": AUDIT_POLICY})


@router.get("/snapshots/{version}/files/{name:path}")
def file(store: StoreDep, version: str, name: str) -> Response:
    """Lead to a file of a snapshot at the store."""
    return RedirectResponse(download_address(store, version, name, seconds=LINK_SECONDS), status_code=303)


@router.get("/snapshots/{version}/images", response_class=HTMLResponse)
def images(
    request: Request,
    store: StoreDep,
    version: str,
    *,
    kind: Annotated[str, Query(alias="class", max_length=_LONGEST)] = "",
    split: TextDep = "",
    source: TextDep = "",
    view: TextDep = "",
    page: PageDep = 1,
) -> Response:
    """Show the images of a snapshot, by what is asked for."""
    wanted = {"class": kind, "split": split, "source": source, "view": view}
    return render(request, "gallery.html", gallery=load_gallery(store, version, wanted, page), store=store)


@router.get("/snapshots/{version}/images/{name:path}", response_class=HTMLResponse)
def image(request: Request, store: StoreDep, version: str, name: str) -> Response:
    """Show one image, with all that is said of it."""
    return render(request, "one_image.html", image=load_image(store, version, name), store=store)


@router.get("/snapshots/{version}/thumbnails/{name:path}.png")
def thumbnail(store: StoreDep, version: str, name: str) -> Response:
    """Return the small picture of an image."""
    return Response(load_picture(store, version, name), media_type="image/png", headers=CACHED)


@router.get("/snapshots/{version}/originals/{name:path}")
def original(store: StoreDep, version: str, name: str) -> Response:
    """Return the file of an image as it was published."""
    kind, size, pieces = load_original(store, version, name)
    return StreamingResponse(pieces, media_type=kind, headers={"Content-Length": str(size), **CACHED})


@router.get("/snapshots/{version}/excluded", response_class=HTMLResponse)
def excluded(
    request: Request,
    store: StoreDep,
    version: str,
    *,
    rule: TextDep = "",
    source: TextDep = "",
    path: TextDep = "",
    page: PageDep = 1,
) -> Response:
    """Show what a snapshot leaves out, by what is asked for."""
    wanted = {"rule": rule, "source": source, "path": path}
    return render(request, "excluded.html", excluded=load_excluded(store, version, wanted, page), store=store)


@router.get("/snapshots/{version}/find")
def find(request: Request, store: StoreDep, version: str, source: TextDep, path: TextDep) -> Response:
    """Lead to the image that is at a path of a collection; where it is not in, to what is said of it."""
    return RedirectResponse(f"{base_of(request)}/snapshots/{find_image(store, version, source, path)}", status_code=303)


@app.get("/drafts/{run}/audit.html", response_class=HTMLResponse)
def draft_audit(store: Annotated[Store, Depends(open_store)], run: str) -> Response:
    """Return the audit's page of what a run would publish, for the person who is asked whether it may."""
    return HTMLResponse(load_draft(store, run, PAGE), headers={"Content-Security-Policy": AUDIT_POLICY})


@app.get("/drafts/{run}/lost.jpg")
def draft_lost(store: Annotated[Store, Depends(open_store)], run: str) -> Response:
    """Return the pictures of what a run would lose."""
    return Response(load_draft(store, run, LOST), media_type="image/jpeg")


# Each page of another edition has the address of the default one's below `editions/<name>`.
app.include_router(router)
app.include_router(router, prefix="/editions/{edition}")


@app.exception_handler(HTTPException)
def refused(request: Request, error: HTTPException) -> Response:
    """Answer on a page what Airflow's security or the router refuses."""
    title, remedy = {
        401: ("Please sign in", "Sign in to Airflow in this browser, then open this page again."),
        403: ("You may not see this", f"Ask an administrator of Airflow for the right to read the DAG {DAG_ID}."),
        404: ("There is no such page", "Go back to the list of snapshots."),
    }.get(error.status_code, ("This did not work", str(error.detail)))
    return render(request, "error.html", status=error.status_code, headers=error.headers, title=title, remedy=remedy)


@app.exception_handler(RequestValidationError)
def misspelt(request: Request, error: RequestValidationError) -> Response:
    """Answer on a page that a parameter in the address is wrong."""
    wrong = ", ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors())
    return render(request, "error.html", status=422, title="This address makes no sense", remedy=f"{wrong}.")


@app.exception_handler(SnapshotError)
def failed(request: Request, error: SnapshotError) -> Response:
    """Answer on a page what is wrong with settings or store, with the remedy that the error names."""
    status, title, remedy = 502, "The store's answer makes no sense", str(error)
    if isinstance(error, SettingsError):
        status, title = 503, "The settings are not complete"
        remedy = (
            f"{error}. Set it in the environment of Airflow's web server, or in the Airflow variable cxr_snapshot "
            "(Admin, Variables), as for the tasks."
        )
    elif isinstance(error, StorageUnavailableError):
        status, title = 503, "The store does not answer"
    elif isinstance(error, MissingObjectError):
        status, title = 404, "There is no such snapshot or image"
    return render(request, "error.html", status=status, title=title, remedy=remedy)
