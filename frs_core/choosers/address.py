"""The options that say where a vision-language model answers, the same for every command that asks one.

Its address is stored with practices and results, so it is refused where it holds a secret.
"""

from dataclasses import dataclass

from frs_core.runtime.address import require_address

EXAMPLE = "--vlm http://127.0.0.1:8000/v1"


def require_model_address(address: str) -> None:
    """Do nothing, unless an address is none of a model. Raises ConfigError."""
    require_address(
        "The model's", address, schemes=("http", "https"), example=EXAMPLE, instead="in the variable FRS_VLM_KEY"
    )


@dataclass(frozen=True, slots=True)
class ModelAddress:
    """Where a vision-language model answers."""

    vlm: str = ""
    """Address of a chat-completions endpoint with images, e.g. http://127.0.0.1:8000/v1; a key is read from FRS_VLM_KEY."""
    vlm_model: str = ""
    """Name of the model at the endpoint; empty where it serves only one."""

    def __post_init__(self) -> None:
        """Check the address, if there is one. Raises ConfigError."""
        if self.vlm:
            require_model_address(self.vlm)


NO_MODEL = ModelAddress()
