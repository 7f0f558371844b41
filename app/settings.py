"""The operator's settings in one JSON file. A damaged file never prevents a start.

Problem: a half-written or hand-edited file must not keep an operator from the robot. Idea: every setting is checked separately;
a valid one is kept, an invalid one is replaced by its default and reported. Writing is atomic. Window geometry is saved by Qt
in `geometry.ini` beside it.

Example: a file with `"theme": "pink"` loads with the dark theme and one warning; all other settings are kept.
Runs on the GUI thread; files are a few hundred bytes.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import platformdirs

VERSION = 1


@dataclass(slots=True)
class Settings:
    """All settings with their defaults."""

    version: int = VERSION
    theme: str = "dark"
    """dark | light"""
    display_size: str = "s"
    """s | m | l: how large everything is shown, as far as the window has room."""
    pacing: str = "gated"
    """gated | continuous"""
    amount: str = "more"
    """less | more"""
    frame: str = "base"
    """base | camera: what 'left' means."""
    has_seen_first_run: bool = False
    primary_camera: str = ""
    second_camera: str = ""
    """The camera in a window of its own; empty = there is none."""
    show_other_step: bool = True
    """Whether the candidates of the other step size are drawn too, thin."""
    show_reference: bool = True
    review_speed: float = 1.0
    input_map: dict[str, list[str]] = field(default_factory=dict)
    """Action id -> controls, only where they differ from the defaults."""
    last_task: str = ""
    unrecorded: bool = False
    look_ahead: bool = True
    """In simulation: a press while the robot moves is the next pick. On a real robot it is asked for in each run."""
    asks_for_help: bool = True
    """The learned policy stops and asks for help where it is unsure."""
    learns_on: bool = True
    """In simulation: the learned policy learns on from each success. On a real robot it is asked for in each run."""
    failsafes: dict[str, float] = field(default_factory=dict)
    """Limits of failsafes that the operator has set, by name; the session checks each."""
    sounds: bool = True
    """Whether cues are heard; they are shown always."""
    auto_next: bool = False
    """In simulation: save a detected success automatically after a moment, and start the next episode."""


_FORMER: Mapping[str, str] = {"unrecorded": "practice"}
"""Setting -> its name in earlier files."""
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "theme": ("dark", "light"),
    "display_size": ("s", "m", "l"),
    "pacing": ("gated", "continuous"),
    "amount": ("less", "more"),
    "frame": ("base", "camera"),
}


def config_dir() -> Path:
    """Return the folder of the settings: FRS_CONFIG_DIR, or the platform's default."""
    return Path(os.environ.get("FRS_CONFIG_DIR") or platformdirs.user_config_dir("frs-cockpit"))


class SettingsFile:
    """Loads and saves `Settings`; `is_safe` neither reads nor writes anything.

    Args:
        folder: where `settings.json` lives; None = `config_dir()`.
        is_safe: use the defaults and do not change the files.
    """

    def __init__(self, folder: Path | None = None, *, is_safe: bool = False) -> None:
        self.folder = folder or config_dir()
        self.path = self.folder / "settings.json"
        self.is_safe = is_safe
        self.warnings: list[str] = []
        self.values = Settings() if is_safe else self._load()
        self._kept = asdict(self.values)

    def save_if_changed(self) -> str | None:
        """Save if something changed since the last read or write; returns the same as `save`."""
        now = asdict(self.values)
        if now == self._kept:
            return None
        return self.save()

    def save(self) -> str | None:
        """Write atomically; return a sentence if that failed, else None."""
        if self.is_safe:
            return None
        self._kept = asdict(self.values)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_suffix(".partial")
            partial.write_text(json.dumps(asdict(self.values), indent=1, sort_keys=True), encoding="utf-8")
            partial.replace(self.path)
        except OSError as error:
            return f"Settings were not saved to {self.path}: {error.strerror}. They apply until the window closes."
        return None

    def reset(self) -> None:
        """Set the files aside as `*.old` and use the defaults."""
        for name in ("settings.json", "geometry.ini"):
            path = self.folder / name
            if path.exists():
                path.replace(path.with_suffix(path.suffix + ".old"))
        self.values = Settings()
        self.warnings.clear()

    def _load(self) -> Settings:
        try:
            raw = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Settings()
        except (OSError, ValueError) as error:
            self._set_aside()
            self.warnings.append(f"Settings file {self.path} could not be read ({error}). Defaults are used.")
            return Settings()
        if not isinstance(raw, dict):
            self._set_aside()
            self.warnings.append(f"Settings file {self.path} holds no settings. Defaults are used.")
            return Settings()
        raw = {new: raw[old] for new, old in _FORMER.items() if old in raw} | raw
        values = Settings()
        for spec in fields(Settings):
            if spec.name not in raw or spec.name == "version":
                continue
            problem = _problem(spec.name, raw[spec.name], getattr(values, spec.name))
            if problem:
                self.warnings.append(f"Setting '{spec.name}' is not valid ({problem}). Its default is used.")
            else:
                setattr(values, spec.name, raw[spec.name])
        return values

    def _set_aside(self) -> None:
        try:
            self.path.replace(self.path.with_suffix(".bad"))
        except OSError as error:
            self.warnings.append(f"The bad file stays in place: {error.strerror}.")


def _problem(name: str, value: object, default: object) -> str:
    """Return why a value is invalid, or an empty string."""
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"got {value!r}, expected one of {', '.join(_CHOICES[name])}"
    if isinstance(default, bool) or not isinstance(default, float):
        if type(value) is not type(default):
            return f"got {type(value).__name__}, expected {type(default).__name__}"
    elif not isinstance(value, (int, float)) or isinstance(value, bool) or not 0.1 <= value <= 16:
        return f"got {value!r}, expected a number from 0.1 to 16"
    if name == "failsafes":
        is_number = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value.values())  # pyright: ignore[reportAttributeAccessIssue]
        return "" if is_number else "expected names of limits with numbers"
    if name == "input_map":
        ok = all(
            isinstance(k, str) and isinstance(v, list) and all(isinstance(c, str) for c in v)
            for k, v in value.items()  # pyright: ignore[reportAttributeAccessIssue]
        )
        return "" if ok else "expected action ids with lists of controls"
    return ""
