"""As much of the Hub's protocol as pushing and pulling models and datasets needs, read off huggingface_hub's calls."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs

from tests.hub.server import File, Refusal, Repository, Request, Route

ROUTES: list[Route] = []
LFS_SUFFIXES = {".safetensors", ".parquet", ".png"}
DATE = "2026-01-01T00:00:00.000Z"
_API = r"/api/(?P<kind>models|datasets)/(?P<repo_id>[^/]+/[^/]+)"
_FILES = r"/((?P<kind>datasets)/)?(?P<repo_id>[^/]+/[^/]+)"


def route(method: str, pattern: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: the function answers such requests, with the pattern's groups as arguments."""

    def add(handler: Callable[..., None]) -> Callable[..., None]:
        ROUTES.append((method, re.compile(pattern), handler))
        return handler

    return add


@route("GET", "/api/whoami-v2")
def who_am_i(request: Request) -> None:
    token = {"accessToken": {"role": "write", "displayName": "test"}}
    request.send_json({"type": "user", "name": request.known_user(), "orgs": [], "auth": token})


@route("POST", "/api/validate-yaml")
def validate_yaml(request: Request) -> None:
    has_metadata = json.loads(request.body)["content"].startswith("---\n")
    warnings = [] if has_metadata else [{"message": "empty or missing yaml metadata in repo card"}]
    request.send_json({"errors": [], "warnings": warnings})


@route("POST", "/api/repos/create")
def create_repository(request: Request) -> None:
    asked, user = json.loads(request.body), request.known_user()
    owner, kind = asked.get("organization") or user, f"{asked.get('type', 'model')}s"
    if owner != user:
        raise Refusal(403, None, f"you have no rights to create a repository under {owner}")
    repo_id = f"{owner}/{asked['name']}"
    is_new = (kind, repo_id) not in request.server.repositories
    if is_new:
        repository = Repository(owner, asked.get("visibility") == "private")
        request.server.repositories[kind, repo_id] = repository
    url = f"{request.server.url}/{'datasets/' if kind == 'datasets' else ''}{repo_id}"
    request.send_json({"url": url, "name": repo_id}, 200 if is_new else 409)


@route("GET", _API + r"(/revision/(?P<revision>[^/]+))?")
def repository_info(request: Request, kind: str, repo_id: str, revision: str | None) -> None:
    repository = request.repository(kind, repo_id)
    commit = repository.resolve(revision or "main")
    siblings = [{"rfilename": path} for path in sorted(repository.files(commit))]
    about = {"private": repository.is_private, "createdAt": DATE, "lastModified": DATE, "tags": []}
    request.send_json({"id": repo_id, "sha": commit, "siblings": siblings, **about})


@route("GET", "/api/(?P<kind>models|datasets)/(?P<name>[^/]+)")
def repository_without_owner(request: Request, kind: str, name: str) -> None:
    request.repository(kind, name)  # there is none


@route("GET", _API + "/refs")
def references(request: Request, kind: str, repo_id: str) -> None:
    repository = request.repository(kind, repo_id)
    listed = {
        sort: [{"name": name, "ref": f"refs/{ref}/{name}", "targetCommit": commit} for name, commit in names.items()]
        for sort, ref, names in (("branches", "heads", repository.branches), ("tags", "tags", repository.tags))
    }
    request.send_json({**listed, "converts": []})


@route("POST", _API + "/branch/(?P<name>[^/]+)")
def create_branch(request: Request, kind: str, repo_id: str, name: str) -> None:
    repository = request.repository(kind, repo_id, write=True)
    if name in repository.branches:
        raise Refusal(409, None, f"Reference already exists: {name}")
    repository.branches[name] = repository.resolve(json.loads(request.body).get("startingPoint", "main"))
    request.send_json({})


@route("POST", _API + "/tag/(?P<revision>[^/]+)")
def create_tag(request: Request, kind: str, repo_id: str, revision: str) -> None:
    repository = request.repository(kind, repo_id, write=True)
    repository.tags[json.loads(request.body)["tag"]] = repository.resolve(revision)
    request.send_json({})


@route("GET", _API + "/tree/(?P<revision>[^/]+)(/(?P<folder>.+))?")
def tree(request: Request, kind: str, repo_id: str, revision: str, folder: str | None) -> None:
    repository = request.repository(kind, repo_id)
    files = repository.files(revision)
    entries = _entries(files)
    if folder is not None and entries.get(folder, {}).get("type") != "directory":
        raise Refusal(404, "EntryNotFound", f"{folder} does not exist on {revision}")
    inside = {path for path in entries if folder is None or path.startswith(f"{folder}/")}
    if request.query.get("recursive", "").lower() != "true":
        inside = {path for path in inside if str(PurePosixPath(path).parent) == (folder or ".")}
    request.send_json([entries[path] for path in sorted(inside)])


@route("POST", _API + "/paths-info/(?P<revision>[^/]+)")
def paths_info(request: Request, kind: str, repo_id: str, revision: str) -> None:
    repository = request.repository(kind, repo_id)
    entries = _entries(repository.files(revision))
    paths = parse_qs(request.body.decode())["paths"]
    request.send_json([entries[path] for path in paths if path in entries])


def _entries(files: dict[str, File]) -> dict[str, dict[str, Any]]:
    """Files and the folders above them, as the tree lists them."""
    entries: dict[str, dict[str, Any]] = {}
    for path, file in files.items():
        for folder in list(PurePosixPath(path).parents)[:-1]:
            entries[str(folder)] = {"type": "directory", "path": str(folder), "oid": "0" * 40}
        entries[path] = {"type": "file", "path": path, "size": len(file.content), "oid": file.blob_id}
        if file.is_lfs:
            entries[path]["lfs"] = {"oid": file.sha256, "size": len(file.content), "pointerSize": 130}
    return entries


@route("POST", _API + "/preupload/(?P<revision>[^/]+)")
def preupload(request: Request, kind: str, repo_id: str, revision: str) -> None:
    repository = request.repository(kind, repo_id, write=True)
    there = repository.files(revision)
    answers = []
    for asked in json.loads(request.body)["files"]:
        path = asked["path"]
        mode = "lfs" if PurePosixPath(path).suffix in LFS_SUFFIXES else "regular"
        oid = there[path].etag if path in there else None
        answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    request.send_json({"files": answers})


@route("POST", _FILES + r"\.git/info/lfs/objects/batch")
def lfs_batch(request: Request, kind: str | None, repo_id: str) -> None:
    request.repository(kind, repo_id, write=True)
    objects = json.loads(request.body)["objects"]
    for asked in objects:
        if asked["oid"] not in request.server.objects:
            upload, verify = f"{request.server.url}/lfs/{asked['oid']}", f"{request.server.url}/lfs/verify"
            asked["actions"] = {"upload": {"href": upload}, "verify": {"href": verify}}
    request.send_json({"transfer": "basic", "objects": objects})


@route("PUT", "/lfs/(?P<oid>[0-9a-f]{64})")
def lfs_upload(request: Request, oid: str) -> None:
    if hashlib.sha256(request.body).hexdigest() != oid:
        raise Refusal(400, None, "the content is not what its name says")
    request.server.objects[oid] = request.body
    request.send(200)


@route("POST", "/lfs/verify")
def lfs_verify(request: Request) -> None:
    asked = json.loads(request.body)
    if len(request.server.objects.get(asked["oid"], b"")) != asked["size"]:
        raise Refusal(404, None, f"no object {asked['oid']} of {asked['size']} bytes")
    request.send(200)


@route("POST", _API + "/commit/(?P<branch>[^/]+)")
def commit(request: Request, kind: str, repo_id: str, branch: str) -> None:
    repository = request.repository(kind, repo_id, write=True)
    files = dict(repository.files(branch))
    message = ""
    for line in request.body.splitlines():
        key, value = (entry := json.loads(line))["key"], entry["value"]
        if key == "header":
            message = value["summary"]
            if value.get("parentCommit", repository.branches[branch]) != repository.branches[branch]:
                raise Refusal(412, None, "a commit has happened since")
        elif key == "file":
            files[value["path"]] = File(base64.b64decode(value["content"]), is_lfs=False)
        elif key == "lfsFile":
            if value["oid"] not in request.server.objects:
                raise Refusal(400, None, f"{value['path']}: its LFS object has not been uploaded")
            files[value["path"]] = File(request.server.objects[value["oid"]], is_lfs=True)
        elif key == "deletedFile":
            del files[value["path"]]
        else:
            raise Refusal(400, None, f"unknown operation {key}")
    oid = repository.commit(branch, message, files)
    url = f"{request.server.url}/{'datasets/' if kind == 'datasets' else ''}{repo_id}/commit/{oid}"
    request.send_json({"success": True, "commitUrl": url, "commitOid": oid})


@route("GET", _FILES + "/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
def resolve(request: Request, kind: str | None, repo_id: str, revision: str, path: str) -> None:
    repository = request.repository(kind, repo_id)
    commit = repository.resolve(revision)
    file = repository.files(commit).get(path)
    if file is None:
        headers = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found", "X-Repo-Commit": commit}
        return request.send(404, b"Entry not found", headers)
    headers = {"X-Repo-Commit": commit, "ETag": f'"{file.etag}"'}
    if file.is_lfs:
        headers |= {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.content))}
    request.send_file(file.content, headers)
