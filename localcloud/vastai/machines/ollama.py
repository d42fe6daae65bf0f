"""What a machine answers: the part of Ollama's API that a fleet needs."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from localcloud.vastai.wire import Json, is_object

VERSION = "0.12.6"
PULL_VARIABLES = ("OLLAMA_MODELS_PULL", "AGENT_DOCKER_MODELS")
WORDS = ("This", " is", " an", " emulated", " machine", ".")


@dataclass(frozen=True)
class Answer:
    """A status with text or JSON, or with a stream of JSON lines."""

    body: object = ""
    status: int = 200
    lines: Sequence[Json] | None = None
    generated: bool = False
    """Whether the machine has to work for it."""


NOT_ALLOWED = Answer("405 method not allowed", 405)
READ = {"/", "/api/version", "/api/tags", "/api/ps"}
POSTED = {"/api/generate", "/api/pull"}


@dataclass
class Ollama:
    """One machine's models; a model that generated is loaded."""

    models: list[str]
    loaded: list[str] = field(default_factory=list[str])

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Return the answer to a request."""
        if path in POSTED:
            return self._post(path, body) if method == "POST" else NOT_ALLOWED
        if path not in READ:
            return Answer("404 page not found", 404)
        if method not in {"GET", "HEAD"}:
            return NOT_ALLOWED
        # A HEAD must not be followed by a body, whatever it asks about.
        return self._read(path) if method == "GET" else Answer("")

    def _read(self, path: str) -> Answer:
        match path:
            case "/api/version":
                return Answer({"version": VERSION})
            case "/api/tags":
                return Answer({"models": [_model(name) for name in self.models]})
            case "/api/ps":
                return Answer({"models": [_loaded(name) for name in self.loaded]})
            case _:
                return Answer("Ollama is running")

    def _post(self, path: str, body: bytes) -> Answer:
        try:
            request: object = json.loads(body)
        except ValueError:
            request = None
        model = request.get("model") if is_object(request) else None
        if not is_object(request) or not isinstance(model, str):
            return Answer({"error": "model is required"}, 400)
        name = _tagged(model)
        if path == "/api/pull":
            return self._pull(name)
        if name not in self.models:
            return Answer({"error": f"model '{request['model']}' not found"}, 404)
        if name not in self.loaded:
            self.loaded.append(name)
        return _generated(model, stream=request.get("stream") is not False)

    def _pull(self, name: str) -> Answer:
        if name not in self.models:
            self.models.append(name)
        return Answer(lines=[{"status": "pulling manifest"}, {"status": "success"}])


def models_to_pull(env: Iterable[tuple[str, str]]) -> list[str]:
    """Return the models that a rental's environment names, comma separated."""
    names = [name for key, value in env if key in PULL_VARIABLES for name in value.split(",")]
    return list(dict.fromkeys(_tagged(name.strip()) for name in names if name.strip()))


def _tagged(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


def _model(name: str) -> Json:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return {
        "name": name,
        "model": name,
        "modified_at": _now(),
        "size": 4_661_224_676,
        "digest": digest,
        "details": {"format": "gguf", "family": "llama", "quantization_level": "Q4_0"},
    }


def _loaded(name: str) -> Json:
    return {**_model(name), "expires_at": _now(), "size_vram": 4_661_224_676}


def _generated(model: str, *, stream: bool) -> Answer:
    last: Json = {
        "model": model,
        "created_at": _now(),
        "response": "" if stream else "".join(WORDS),
        "done": True,
        "done_reason": "stop",
        "context": [],
        "total_duration": 60_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": 8,
        "prompt_eval_duration": 9_000_000,
        "eval_count": len(WORDS),
        "eval_duration": 50_000_000,
    }
    if not stream:
        return Answer(last, generated=True)
    parts: list[Json] = [
        {"model": model, "created_at": _now(), "response": word, "done": False} for word in WORDS
    ]
    return Answer(lines=[*parts, last], generated=True)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
