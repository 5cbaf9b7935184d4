"""Real applications, as their packages ship them, served from loopback: `pages/NAME.html` is the page of each.

They animate, compute in WebAssembly, route by the fragment, send the visitor on, show the window of a long list,
put their text into shadow roots and frames, and miss a CDN. Those that show an API's description get an OpenAPI
document that is generated here: twenty paths with parameters, schemas and examples.
"""

import json
import mimetypes
import re
from pathlib import Path

from aiohttp import web

from bench.packages import PINNED, unpacked

TYPES = {".wasm": "application/wasm", ".mjs": "text/javascript"}
"""What the machine's own table may not know."""
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
SWAGGER_START = (
    "window.onload = () => { window.ui = SwaggerUIBundle({ url: '/openapi.json', dom_id: '#swagger-ui',"
    " deepLinking: true, docExpansion: 'full', validatorUrl: null,"
    " presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset], layout: 'StandaloneLayout' }); };"
)
STAMP = (
    "<script>{ const seen = (root) => new MutationObserver(() => {"
    " document.documentElement.dataset.late = Date.now(); })"
    ".observe(root, { childList: true, subtree: true, characterData: true });"
    " const attach = Element.prototype.attachShadow; Element.prototype.attachShadow = function (...how) {"
    " const root = attach.apply(this, how); seen(root); return root; }; seen(document); }</script>"
)
"""Records the moment of the last change; changes of attributes do not count."""
PAGES = Path(__file__).parent / "pages"
PATHS = {
    "swagger-ui": "/packages/swagger-ui-dist/index.html",
    **{
        name: f"/{name}"
        for name in (
            *("redoc", "scalar", "elements", "rapidoc", "gsap", "framer-motion", "sql.js", "esbuild-wasm"),
            *("pyodide", "docute", "mithril", "angularjs", "ag-grid", "turbo", "dead-cdn", "redirecting"),
            "frames",
        )
    },
    "docute, a route": "/docute#/one",
    "mithril, a route": "/mithril#!/list",
    "mithril, a redirect": "/mithril#!/old",
    "angularjs, a route": "/angularjs#!/list",
}
"""The path of each page."""
DOCS = {
    "README.md": "# Start\n\nWelcome. [One](/one) and [two](/two).\n\n## Below\n\nMore words.\n",
    "one.md": "# One\n\nThe first. [Two](/two)\n\n```js\nlet x = 1;\n```\n",
    "two.md": "# Two\n\nThe second.\n",
}
LIST = '<h1>List</h1><p ng-repeat="row in rows"><a ng-href="#!/item/{{row}}">Item {{row}}</a></p><p>{{later}}</p>'


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
    """Return the server of all; raises NotInstallable if a package cannot be fetched."""
    folders = {package.name: unpacked(package) for package in PINNED}
    known = {
        "/openapi.json": (json.dumps(described()), "application/json"),
        "/rows.json": (json.dumps(list(range(1, 13))), "application/json"),
        "/list.html": (LIST, "text/html"),
        "/packages/swagger-ui-dist/swagger-initializer.js": (SWAGGER_START, "text/javascript"),
        **{f"/docs/{name}": (text, "text/plain") for name, text in DOCS.items()},
    }

    async def written(request: web.Request) -> web.Response:
        text, content_type = known[request.path]
        return web.Response(text=text, content_type=content_type)

    async def frame(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        inside = f'<p>Frame {name} <a href="/of/{name}">{name}</a></p>'
        return web.Response(text=f'<turbo-frame id="{name}">{inside}</turbo-frame>', content_type="text/html")

    async def page(request: web.Request) -> web.Response:
        path = PAGES / f"{request.match_info['name']}.html"
        if not path.is_file():
            raise web.HTTPNotFound
        return _sent(path)

    async def file(request: web.Request) -> web.StreamResponse:
        folder = folders[request.match_info["package"]]
        path = (folder / request.match_info["path"]).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise web.HTTPNotFound
        return _sent(path)

    app = web.Application()
    app.add_routes(
        [
            *(web.get(path, written) for path in known),
            web.get(r"/frame/{name:\w+}", frame),
            web.get(rf"/packages/{{package:{'|'.join(map(re.escape, folders))}}}/{{path:.+}}", file),
            web.get(r"/{name:[\w.-]+}", page),
        ]
    )
    return app


def _sent(path: Path) -> web.Response:
    content_type = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    body = path.read_bytes()
    if content_type == "text/html":
        body = body.replace(b"<head>", b"<head>" + STAMP.encode(), 1)
    return web.Response(body=body, content_type=content_type)
