"""Which processor a policy's weights are loaded on, by the name that a person gives it. Any thread."""

import torch

from frs_core.errors import ConfigError


def torch_device(name: str | None) -> torch.device:
    """Return the device of a name, such as "cuda:1"; None = a GPU if there is one.

    Raises:
        ConfigError: PyTorch knows none of that name, or sees no such GPU.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"No device '{name}'. Use cuda, cuda:1 or cpu.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"Device '{name}' was asked for, but PyTorch sees no GPU. Check the driver, or use cpu.")
    return device
