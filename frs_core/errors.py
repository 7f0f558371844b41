"""Errors a person may see. Every text says what failed, what was got and expected, and the usual fix.

FrsError
├── ConfigError (ValueError)          a setting, option or name is not usable
├── ShapeMismatch (ValueError)        an array does not fit the policy or world
├── FingerprintMismatch (ValueError)  data was made with another policy
├── WeightsMissing (FileNotFoundError)
├── DownloadFailed (ConnectionError)
├── PolicyError (RuntimeError)        inference failed or gave non-finite numbers
│   ├── PolicyTimeout (TimeoutError)
│   ├── ModelRefused               a vision-language model's endpoint will refuse this request again
│   └── SteeringUnavailable        this policy only samples; the text is the reason a view may show
├── WorldError (RuntimeError)         the simulator or robot process failed
│   ├── WorldTimeout (TimeoutError)
│   └── CameraStale (RuntimeError)
├── StaleAct (RuntimeError)           a motion was asked for before the last hold
├── DeviceError (RuntimeError)        an input device is missing or was unplugged
├── EpisodeError (RuntimeError)       the episode store
│   ├── EpisodeCorrupt (ValueError)
│   ├── EpisodeUnconfirmed          done, but a power cut could still undo it; the same call may be repeated
│   ├── EpisodeUnwritten            the disk refused, as it will refuse whatever comes next
│   └── StoreLocked (RuntimeError)
├── TrainingError (RuntimeError)
└── ServingError (ConnectionError)    a policy server or the way to it failed
    ├── MalformedMessage (ValueError) bytes that are not a message, or a message that is not valid
    ├── ContextGone (LookupError)     the server has dropped an encoded observation
    └── ServerBusy                    the server has too much to do already
"""

import difflib
from collections.abc import Iterable

_LEFT_OUT = {
    "torch": "PyTorch",
    "mujoco": "MuJoCo",
    "matplotlib": "Matplotlib",
    "av": "PyAV",
    "safetensors": "safetensors",
    "einops": "einops",
    "cv2": "OpenCV",
}
"""Module -> name of what the thin cockpit does without (thin/pyproject.toml)."""


class FrsError(Exception):
    """Root of all errors the product raises on purpose."""


class ConfigError(FrsError, ValueError):
    """A setting, option or name is not usable."""


class ShapeMismatch(FrsError, ValueError):
    """An array does not fit the policy or world."""


class FingerprintMismatch(FrsError, ValueError):
    """Data was made with another policy."""


class WeightsMissing(FrsError, FileNotFoundError):
    """A weights file is not where it should be."""


class DownloadFailed(FrsError, ConnectionError):
    """A file could not be fetched whole."""


class PolicyError(FrsError, RuntimeError):
    """Inference failed or gave non-finite numbers."""


class PolicyTimeout(PolicyError, TimeoutError):
    """Inference did not answer in time."""


class ModelRefused(PolicyError):
    """The endpoint of a vision-language model refused a request, and will do so again: no key, unknown model."""


class SteeringUnavailable(PolicyError):
    """This policy can only sample; the text says why."""


class WorldError(FrsError, RuntimeError):
    """The simulator or robot process failed."""


class WorldTimeout(WorldError, TimeoutError):
    """The world did not answer in time."""


class CameraStale(WorldError):
    """A camera stopped delivering fresh frames."""


class StaleAct(FrsError, RuntimeError):
    """A motion was asked for before the last hold, loss or reconnect, and is not carried out."""


class DeviceError(FrsError, RuntimeError):
    """An input device is missing or was unplugged."""


class EpisodeError(FrsError, RuntimeError):
    """The episode store refused or failed."""


class EpisodeCorrupt(EpisodeError, ValueError):
    """An episode's files are damaged."""


class EpisodeUnconfirmed(EpisodeError):
    """The change is made, but the disk has not confirmed that it would survive a power cut."""


class EpisodeUnwritten(EpisodeError):
    """The disk refused an episode, as it will refuse whatever comes next."""


class StoreLocked(EpisodeError):
    """Another process writes to this store."""


class TrainingError(FrsError, RuntimeError):
    """A trainer could not start or finish."""


class ServingError(FrsError, ConnectionError):
    """A policy server or its client failed."""


class MalformedMessage(ServingError, ValueError):
    """Bytes are not a message, or a message is not valid."""


class ContextGone(ServingError, LookupError):
    """The server has dropped an encoded observation."""


class ServerBusy(ServingError):
    """The server has too much to do already."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """Return the error for an unknown registry name, with the known ones and the nearest match.

    Args:
        kind: what the name stands for, singular ("policy").
        name: what was given.
        known: all valid names.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return ConfigError(f"Unknown {kind} '{name}'. Known: {', '.join(names) or 'none'}.{hint}")


def why_left_out(module: str | None) -> str | None:
    """Return the sentence for a module that the thin cockpit does without; None for any other module.

    Args:
        module: name of what could not be imported, such as "torch" or "torch.nn".
    """
    title = _LEFT_OUT.get((module or "").partition(".")[0])
    if title is None:
        return None
    return (
        f"This needs {title}, which the thin cockpit does without. Install the whole product with `pip install frs-cockpit` "
        f"(after `pip uninstall frs-cockpit-thin`), or run it on the machine that serves the policy."
    )
