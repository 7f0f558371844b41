"""What is known of a folder with a pi0.5 checkpoint before a single weight is read: facts, notes and every problem, one sentence each.

Filled by `checkpoint.inspect_checkpoint`; loading fails unless the list of problems is empty. Any thread.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import ConfigError, FrsError
from frs_core.policies.pi05.images import Resize
from frs_core.policies.pi05.normalisation import Affine
from frs_core.policies.pi05.presets import Preset
from frs_core.policies.pi05.sizes import ModelSize
from frs_core.policies.pi05.tokens import PromptForm
from frs_core.runtime.foreign import MALFORMED, open_plain
from frs_core.steering.camera_pairing import Pairing

NOTE = "frs_policy.json"
"""Written by `frs policy fetch`: {"preset": name, "source": where from, …}."""
HORIZON_FROM, PRESETS_OWN, GIVEN = "horizon_from", "preset", "given"
"""Key of the note, and its values: a conversion took the horizon from the preset, since openpi's checkpoint states none, or was given another."""

_SAMPLES, _SAMPLE_BYTES = 64, 65536


@dataclass(slots=True, eq=False)
class Checkpoint:
    """Everything known about a folder; usable when `problems` is empty."""

    root: Path
    family: str = "unknown"
    """ "openpi" or "lerobot"."""
    files: tuple[Path, ...] = ()
    """Of the weights: one, or the shards that an index names."""
    names: dict[str, str] = field(default_factory=dict)
    """Tensor -> its name in the file."""
    size: ModelSize | None = None
    horizon: int = 0
    horizon_from: str = ""
    """What the note says of the number in config.json: `PRESETS_OWN`, `GIVEN`, or nothing."""
    execute_rows: int = 0
    preset: Preset | None = None
    meaning_from: str = ""
    """Where the preset comes from, in words."""
    prompt: PromptForm = PromptForm.STATE_TEXT
    prompt_zeros: int = 0
    """Zeros that the prompt states after the robot's own numbers, as LeRobot 0.4 padded them."""
    resize: Resize = Resize.FILTERED
    state: Affine | None = None
    actions: Affine | None = None
    covered: tuple[Float[Array, " a"], Float[Array, " a"]] | None = None
    """1 % and 99 % quantiles of the raw training actions; None if the statistics do not contain them."""
    is_gripper_offset: bool = False
    """The gripper too is an offset from its value at the start of the chunk, as in LeRobot's relative actions unless they exclude it."""
    tokenizer: Path | None = None
    image_keys: tuple[str, ...] | None = None
    """The checkpoint's own names of its image inputs, in its order; None where they could not be read."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Image input -> the name its images had before the checkpoint's own pre-processor."""
    pairing: Pairing = ()
    """(image input, world camera)."""
    notes: list[str] = field(default_factory=list)
    assumed_notes: list[str] = field(default_factory=list)
    """What is taken though the folder does not state it, with what to give where it is wrong; loading says these too."""
    problems: list[str] = field(default_factory=list)

    @property
    def picture_keys(self) -> tuple[str, ...] | None:
        """`image_keys` under its former name, for scripts that were written with it."""
        return self.image_keys

    @property
    def weights(self) -> Path | None:
        """First file of the weights; None where they cannot be used."""
        return self.files[0] if self.files else None

    @property
    def weights_bytes(self) -> int:
        """Size of all files of the weights."""
        return sum(path.stat().st_size for path in self.files)

    @property
    def is_lerobot_named(self) -> bool:
        """Whether names begin with LeRobot's `model.`."""
        return "model." in self.names.get("action_out_proj.weight", "")

    def require(self) -> None:
        """Raise unless the checkpoint is complete.

        Raises:
            ConfigError: it has problems; the text lists the first five.
        """
        if self.problems:
            more = f" (and {len(self.problems) - 5} more)" if len(self.problems) > 5 else ""
            raise ConfigError(
                f"Checkpoint '{self.root}' cannot be used: {' '.join(self.problems[:5])}{more} "
                f"See all with `frs policy check {self.root}`."
            )

    def attempt(self, step: Callable[[], object]) -> None:
        """Take a step of the inspection; what it raises becomes a problem, and the next step is taken too."""
        try:
            step()
            return
        except FrsError as error:
            text = str(error)
        except MALFORMED:
            text = (
                "Its configuration holds what no pi0.5's does: a list, text or number where something else belongs. Take config.json and "
                "policy_preprocessor.json as they were saved with the weights."
            )
        # Two readers of one file find the same.
        self.problems += [text] if text not in self.problems else []

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the policy's behaviour.

        Hashes the weights' header and 64 evenly spaced blocks of 64 kB (any training run changes every tensor), sizes,
        statistics and meaning; a 7 GB file takes milliseconds.
        """
        assert self.files
        assert self.preset is not None
        digest = hashlib.sha256()
        for path in self.files:
            with open_plain(path, may_link=True) as file:
                for start in np.linspace(0, max(0, path.stat().st_size - _SAMPLE_BYTES), _SAMPLES, dtype=np.int64):
                    file.seek(int(start))
                    digest.update(file.read(_SAMPLE_BYTES))
        for affine in (self.state, self.actions):
            if affine is not None:
                digest.update(affine.offset.astype("<f8").tobytes() + affine.scale.astype("<f8").tobytes())
        facts = (self.weights_bytes, self.horizon, self.preset.name, self.prompt.value, self.resize.value)
        facts += (self.prompt_zeros,) if self.prompt_zeros else ()
        digest.update(repr(facts).encode())
        return digest.hexdigest()
