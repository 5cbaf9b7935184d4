"""Two real applications that show an API's description: Swagger UI and Redoc, as their packages ship them.

Both are served from loopback over the same OpenAPI document, generated here: thirty paths with parameters,
schemas and examples, as large as those of a real service.
"""

import json
import mimetypes
from pathlib import Path

from aiohttp import web

from bench.packages import REDOC, SWAGGER, unpacked

THINGS = (
    "order",
    "invoice",
    "customer",
    "product",
    "parcel",
    "refund",
    "voucher",
    "review",
    "store",
    "shelf",
)
REDOC_PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Redoc</title>'
    '<link rel="icon" href="data:,">STAMP</head><body><redoc spec-url="/openapi.json"></redoc>'
    '<script src="/redoc/bundles/redoc.standalone.js"></script></body></html>'
)
SWAGGER_START = (
    "window.onload = () => { window.ui = SwaggerUIBundle({ url: '/openapi.json', dom_id: '#swagger-ui',"
    " deepLinking: true, docExpansion: 'full', validatorUrl: null,"
    " presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset], layout: 'StandaloneLayout' }); };"
)
STAMP = (
    "<script>new MutationObserver(() => { document.documentElement.dataset.late = Date.now(); })"
    ".observe(document, { childList: true, subtree: true, characterData: true });</script>"
)
"""Records the moment of the last change; changes of attributes do not count."""
PATHS = {"swagger-ui": "/swagger-ui/index.html", "redoc": "/redoc"}
"""The path of each application."""


def described() -> dict[str, object]:
    """Return the OpenAPI document."""
    paths: dict[str, object] = {}
    schemas: dict[str, object] = {}
    for thing in THINGS:
        schema = {"$ref": f"#/components/schemas/{thing.title()}"}
        content = {"application/json": {"schema": schema}}
        one = {
            "200": {"description": f"The {thing}.", "content": content},
            "404": {"description": "There is none."},
        }
        number = {"name": "number", "in": "path", "required": True, "schema": {"type": "integer"}}
        paths[f"/{thing}s"] = {
            "get": {
                "tags": [thing],
                "summary": f"List every {thing}",
                "description": f"Returns a page of them; see [the {thing} guide](https://docs.example/{thing}).",
                "responses": one,
            },
            "post": {"tags": [thing], "summary": f"Create a {thing}", "requestBody": {"content": content}}
            | {"responses": {"201": {"description": "It was created."}}},
        }
        paths[f"/{thing}s/{{number}}"] = {
            "get": {"tags": [thing], "summary": f"Show a {thing}", "parameters": [number], "responses": one},
            "delete": {"tags": [thing], "summary": f"Remove a {thing}", "parameters": [number]}
            | {"responses": {"204": {"description": "It is gone."}}},
        }
        fields = {
            f"{thing}_{name}": {"type": "string", "description": f"The {name}."} for name in ("name", "note")
        }
        schemas[thing.title()] = {"type": "object", "properties": {"number": {"type": "integer"}, **fields}}
    info = {"title": "Shop", "version": "1.0", "description": "Everything that the shop can do."}
    return {"openapi": "3.0.3", "info": info, "paths": paths, "components": {"schemas": schemas}}


def application() -> web.Application:
    """Return the server of both; raises NotInstallable if a package cannot be fetched."""
    folders = {"swagger-ui": unpacked(SWAGGER), "redoc": unpacked(REDOC)}
    text = json.dumps(described())

    async def spec(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="application/json")

    async def redoc(_request: web.Request) -> web.Response:
        return web.Response(text=REDOC_PAGE.replace("STAMP", STAMP), content_type="text/html")

    async def start(_request: web.Request) -> web.Response:
        return web.Response(text=SWAGGER_START, content_type="text/javascript")

    async def file(request: web.Request) -> web.StreamResponse:
        folder = folders[request.match_info["app"]]
        path = (folder / request.match_info["path"]).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise web.HTTPNotFound
        return _sent(path)

    app = web.Application()
    app.add_routes(
        [
            web.get("/openapi.json", spec),
            web.get("/redoc", redoc),
            web.get("/swagger-ui/swagger-initializer.js", start),
            web.get(r"/{app:swagger-ui|redoc}/{path:.+}", file),
        ]
    )
    return app


def _sent(path: Path) -> web.Response:
    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    body = path.read_bytes()
    if content_type == "text/html":
        body = body.replace(b"<head>", b"<head>" + STAMP.encode(), 1)
    return web.Response(body=body, content_type=content_type)
