"""The web page and the description of the API for people: a few files, served from memory."""

from importlib import resources

from fastapi import APIRouter
from fastapi.responses import Response

from everypose.serving.failures import NotFoundError

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
HALF_A_MINUTE = "max-age=30"


def page_routes() -> APIRouter:
    """``/`` (the page), ``/docs`` (the API) and their files under ``/page/``.

    >>> [route.path for route in page_routes().routes]
    ['/', '/docs', '/page/{name}']
    """
    router = APIRouter(include_in_schema=False)
    files = _read_files()

    def answer(name: str) -> Response:
        if name not in files:
            raise NotFoundError("there is no such page")
        media_type, content = files[name]
        return Response(content, media_type=media_type, headers={"cache-control": HALF_A_MINUTE})

    @router.get("/")
    async def page() -> Response:
        return answer("index.html")

    @router.get("/docs")
    async def api() -> Response:
        return answer("api.html")

    @router.get("/page/{name}")
    async def file(name: str) -> Response:
        return answer(name)

    return router


def _read_files() -> dict[str, tuple[str, bytes]]:
    """Media type and content of each file, by name."""
    folder = resources.files("everypose.serving") / "page"
    return {
        file.name: (MEDIA_TYPES["." + file.name.rpartition(".")[2]], file.read_bytes())
        for file in folder.iterdir()
        if "." in file.name and not file.name.startswith((".", "__"))
    }
