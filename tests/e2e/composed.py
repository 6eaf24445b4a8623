"""The programs of docker-compose.yml without Docker: their very commands and variables, on this machine's addresses."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass
class Composed:
    """`places`: what stands here for the hosts, ports and folders of containers; `more`: variables that a deployment
    chooses by itself; `folder`: where programs start, which is not the repository.
    """

    repository: Path
    places: dict[str, str]
    more: dict[str, str]
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str) -> None:
        """Start a service as its container would."""
        service = self._service(name)
        command = service["command"] if "command" in service else self._words(name, "CMD")
        made = subprocess.Popen(self._placed(command), env=self._environment(name), cwd=self.folder)
        self.processes.append(made)

    def run(self, name: str, *words: str) -> str:
        """`docker compose exec`: what the command prints. Raises CalledProcessError."""
        return self._run(name, list(words))

    def is_healthy(self, name: str) -> bool:
        """What the health check of the service, or else of its image, says."""
        chosen = self._service(name).get("healthcheck")
        try:
            self._run(name, chosen["test"][1:] if chosen else self._words(name, "HEALTHCHECK"))
        except subprocess.CalledProcessError:
            return False
        return True

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def _run(self, name: str, words: list[str]) -> str:
        where: dict[str, Any] = {"env": self._environment(name), "cwd": self.folder}
        done = subprocess.run(self._placed(words), check=True, stdout=subprocess.PIPE, text=True, **where)
        return str(done.stdout)

    def _service(self, name: str) -> dict[str, Any]:
        read: dict[str, Any] = yaml.safe_load((self.repository / "docker-compose.yml").read_text())["services"][name]
        return read

    def _image(self, name: str) -> str:
        """The image's recipe, one instruction a line."""
        recipe = self.repository / str(self._service(name)["build"]["dockerfile"])
        return recipe.read_text().replace("\\\n", " ")

    def _words(self, name: str, instruction: str) -> list[str]:
        (found,) = re.findall(rf"^{instruction}\b[^\[\n]*(\[.*\])$", self._image(name), re.MULTILINE)
        words: list[str] = json.loads(found)
        return words

    def _placed(self, words: list[str]) -> list[str]:
        program, *rest = map(self._place, words)
        return [sys.executable if program == "python" else program, *rest]

    def _environment(self, name: str) -> dict[str, str]:
        """The image's variables, then the service's, then those that the deployment chooses."""
        lines = re.findall(r"^ENV (.*)$", self._image(name), re.MULTILINE)
        said = dict(word.split("=", 1) for line in lines for word in shlex.split(line))
        said |= {key: _filled(value) for key, value in self._service(name)["environment"].items()}
        ours = {key: value for key, value in os.environ.items() if not key.startswith("OFFHAND_")}
        return ours | {key: self._place(value) for key, value in said.items() if key != "PATH"} | self.more

    def _place(self, word: str) -> str:
        for there, here in self.places.items():
            word = word.replace(there, here)
        return word


def _filled(value: str) -> str:
    """`value` as compose fills it in where .env has what it must have and nothing else."""
    chosen = {"POSTGRES_PASSWORD": "secret", "WEBHOOK_KEY": "A" * 43 + "="}
    filled = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: chosen[found[1]], value)
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", filled)
