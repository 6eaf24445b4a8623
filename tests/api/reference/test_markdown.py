"""The HTTP reference is what the service says of itself."""

from pathlib import Path

from api.app import create_app
from api.reference.markdown import reference


def test_reference_is_up_to_date(repository: Path) -> None:
    written = (repository / "docs" / "http.md").read_text()
    assert written == reference(create_app().openapi()), (
        "run: .venv/bin/python -m api.reference.markdown > docs/http.md"
    )
