"""The page for people: jobs with their progress, datasets with their contact sheets."""

from fastapi import APIRouter

router = APIRouter(include_in_schema=False)
