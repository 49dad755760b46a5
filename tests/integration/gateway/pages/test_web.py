"""The files of the page at `/`: who gets them, how, and under which policy."""

import re
from urllib.parse import urljoin

import httpx

from fastchat.keys.record import digest
from fastchat_gateway.pages.web import read_files

FILES = read_files()
MOST_BYTES = 200_000


def policy(response: httpx.Response) -> dict[str, str]:
    directives = (each.strip().partition(" ") for each in response.headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in directives}


def test_all_of_the_page_is_less_than_200_kb():
    assert len(FILES) > 10
    assert sum(len(file.body) for file in FILES.values()) < MOST_BYTES


async def test_every_file_is_served_as_it_is_and_under_the_policy(gateway) -> None:
    for path, file in FILES.items():
        response = await gateway.client.get(path, headers={"accept-encoding": "identity"})
        assert (response.status_code, response.content) == (200, file.body)
        assert policy(response)["default-src"] == "'none'"
        assert {policy(response)[f"{each}-src"] for each in ("script", "style", "connect")} == {"'self'"}
        assert policy(response)["require-trusted-types-for"] == "'script'"
        assert {policy(response)[each] for each in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["cache-control"] == "no-cache"


def test_no_file_names_another_host_as_where_something_is_to_be_loaded_from():
    sources = re.compile(rb"""(?:src|href|import|from|url\()\s*[=(]?\s*["']?(?:https?:)?//""")
    assert [path for path, file in FILES.items() if sources.search(file.body)] == []


def test_the_document_names_only_files_that_are_there_and_has_no_script_in_itself():
    document = FILES["/"].body.decode()
    assert {urljoin("/", name) for name in re.findall(r'(?:src|href)="([^#"]+)"', document)} <= set(FILES)
    assert re.findall(r"<script[^>]*>([^<]*)</script>", document) == ["", ""]
    assert not re.search(r"\son\w+=|style=", document)


def test_nothing_is_made_of_text_that_is_read_as_markup_or_as_a_script():
    made = re.compile(rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc")
    assert [path for path, file in FILES.items() if made.search(file.body)] == []


async def test_it_is_compressed_where_that_is_accepted(gateway) -> None:
    for accepted, coding in (("gzip, br", "gzip"), ("GZIP;q=0.5", "gzip"), ("gzip;q=0", None)):
        response = await gateway.client.get("/web/main.js", headers={"accept-encoding": accepted})
        assert response.headers.get("content-encoding") == coding
        assert response.content == FILES["/web/main.js"].body
        assert response.headers["vary"] == "accept-encoding"


async def test_what_a_browser_has_already_is_not_sent_again_and_head_has_no_body(gateway) -> None:
    first = await gateway.client.get("/")
    again = await gateway.client.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    other = await gateway.client.get("/", headers={"if-none-match": 'W/"other"'})
    assert other.status_code == 200
    head = await gateway.client.head("/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == first.headers["content-length"]


async def test_the_page_needs_no_key_and_what_it_asks_does(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, key_digests=(digest(b"key"),))
    for path in FILES:
        assert (await gateway.client.get(path)).status_code == 200
    assert (await gateway.client.get("/v1/models")).status_code == 401
    assert (await gateway.client.get("/web/other.js")).status_code == 401


async def test_what_is_no_file_of_the_page_is_404_and_its_files_are_only_read(gateway) -> None:
    for path in ("/web", "/web/", "/web/other.js", "/web/../settings.py", "/web/%2e%2e/app.py", "/web/..%2fapp.py"):
        response = await gateway.client.get(httpx.URL(gateway.url).copy_with(raw_path=path.encode()))
        assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
    response = await gateway.client.post("/", json={})
    assert (response.status_code, response.headers["allow"]) == (405, "GET")


async def test_without_a_page_there_is_none(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, page=False)
    for path in FILES:
        assert (await gateway.client.get(path)).json()["error"]["code"] == "not_found"
    assert (await gateway.chat()).status_code == 200
