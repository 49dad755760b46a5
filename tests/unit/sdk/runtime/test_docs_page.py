"""The page that shows an OpenAPI document."""

import base64
import hashlib
import re

from fastchat._runtime.docs_page import HEADERS, docs_page

DOCUMENT = {
    "info": {"title": "A <b>server</b>", "version": "1"},
    "paths": {
        "/v1/x/{model}": {
            "post": {
                "description": "Says <script>x</script>.",
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/X"}}}},
            },
            "get": {},
        }
    },
    "components": {
        "schemas": {
            "X": {
                "required": ["texts"],
                "properties": {
                    "texts": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
                    "how": {"enum": ["a", None], "description": "In a way."},
                    "of": {"$ref": "#/components/schemas/Y"},
                    "any": {},
                },
            }
        }
    },
}


def test_it_has_every_operation_with_the_fields_of_its_request():
    page = docs_page(DOCUMENT)
    assert re.findall(r"<b>(\w+)</b> <code>(.*?)</code>", page) == [("POST", "/v1/x/{model}"), ("GET", "/v1/x/{model}")]
    assert re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", page) == [
        ("texts", "list of string | null", "required. "),
        ("how", "a | None", "In a way."),
        ("of", "Y", ""),
        ("any", "any", ""),
    ]


def test_what_the_document_says_is_text():
    page = docs_page(DOCUMENT)
    assert "A &lt;b&gt;server&lt;/b&gt; 1" in page
    assert "<script" not in page


def test_a_browser_asks_no_other_server_and_runs_nothing():
    page = docs_page(DOCUMENT)
    assert "//" not in page.replace("<!DOCTYPE html>", "")
    policy = HEADERS["Content-Security-Policy"]
    (style,) = re.findall("<style>(.*?)</style>", page)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in policy
