"""The options that say where a vision-language model answers, the same for every command that asks one."""

from dataclasses import dataclass

EXAMPLE = "--vlm http://127.0.0.1:8000/v1"


@dataclass(frozen=True, slots=True)
class ModelAddress:
    """Where a vision-language model answers."""

    vlm: str = ""
    """Address of a chat-completions endpoint with images, e.g. http://127.0.0.1:8000/v1; a key is read from FRS_VLM_KEY."""
    vlm_model: str = ""
    """Name of the model at the endpoint; empty where it serves only one."""


NO_MODEL = ModelAddress()
