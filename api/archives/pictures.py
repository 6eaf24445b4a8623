"""Pictures that stand among a resource's files."""

from starlette.requests import Request
from starlette.responses import Response

from api.protocol.file_responses import file_response
from api.schemas.resources import File, file_document
from store.database.database import Database
from store.errors import NotFound
from store.objects import ObjectStore
from store.resources.files import get_file, list_files

PICTURE = "image/png"


def pictures_of(db: Database, tenant: str, owner: str, path: str) -> list[File]:
    """The pictures of the resource ``owner``, each at `{path}/pictures/{name}`."""
    return [
        file_document(file, f"{path}/pictures/{file.name}")
        for file in list_files(db, owner, tenant=tenant)
        if file.media_type == PICTURE
    ]


def picture_response(
    request: Request, db: Database, objects: ObjectStore, tenant: str, owner: str, name: str
) -> Response:
    """The picture ``name`` of the resource ``owner``. Raises NotFound for what is none of its pictures."""
    file = get_file(db, owner, name, tenant=tenant)
    if file.media_type != PICTURE:
        raise NotFound(f"there is no picture {name!r}")
    return file_response(request, objects, file, attachment=False)
