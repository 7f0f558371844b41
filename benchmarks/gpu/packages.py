"""The packages that the parts import, by purpose; on a machine where one is missing, a wheel of it can be carried.

Standard library only.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Package:
    """One package of the index."""

    module: str
    """What is imported."""
    pin: str = ""
    """Of the version; empty = that of requirements.lock where it is there, else the newest."""


NEEDED: Mapping[str, Mapping[str, Package]] = {
    "product": {
        "torch": Package("torch"),
        "numpy": Package("numpy"),
        "safetensors": Package("safetensors"),
        "einops": Package("einops"),
        "jaxtyping": Package("jaxtyping"),
        "wadler-lindig": Package("wadler_lindig"),
        "opencv-python-headless": Package("cv2"),
        "rich": Package("rich"),
        "markdown-it-py": Package("markdown_it"),
        "mdurl": Package("mdurl"),
        "pygments": Package("pygments"),
        "matplotlib": Package("matplotlib"),
        "sentencepiece": Package("sentencepiece"),
        "platformdirs": Package("platformdirs"),
        "psutil": Package("psutil"),
    },
    "tests": {
        "pytest": Package("pytest"),
        "pluggy": Package("pluggy"),
        "iniconfig": Package("iniconfig"),
        "packaging": Package("packaging"),
        "pytest-timeout": Package("pytest_timeout"),
        "hypothesis": Package("hypothesis"),
        "sortedcontainers": Package("sortedcontainers"),
    },
    "rendering": {
        "mujoco": Package("mujoco"),
        "mujoco-core": Package("mujoco_core"),
        "glfw": Package("glfw"),
        "pyopengl": Package("OpenGL"),
        "absl-py": Package("absl"),
        "etils": Package("etils"),
    },
    "lerobot": {
        "lerobot": Package("lerobot", "==0.6.1"),
        # lerobot[pi] 0.6.1 asks for transformers < 5.6; a later one calls its masks otherwise.
        "transformers": Package("transformers", "==5.5.4"),
        "tokenizers": Package("tokenizers", "==0.22.2"),
        "huggingface-hub": Package("huggingface_hub", "==1.33.0"),
        "torchvision": Package("torchvision"),
        "pillow": Package("PIL"),
        "scipy": Package("scipy"),
        "draccus": Package("draccus", "==0.11.6"),
        "mergedeep": Package("mergedeep"),
        "pyyaml": Package("yaml"),
        "pyyaml-include": Package("yaml_include"),
        "toml": Package("toml"),
        "typing-inspect": Package("typing_inspect"),
        "mypy-extensions": Package("mypy_extensions"),
        "gymnasium": Package("gymnasium"),
        "cloudpickle": Package("cloudpickle"),
        "farama-notifications": Package("farama_notifications"),
        "termcolor": Package("termcolor"),
        "regex": Package("regex"),
        "requests": Package("requests"),
        "httpx": Package("httpx"),
        "fsspec": Package("fsspec"),
        "filelock": Package("filelock"),
        "tqdm": Package("tqdm"),
        "typer": Package("typer"),
    },
}
"""What each purpose imports, by name in the index; the parts not named (rql, generalist, …) need what the product does."""

CARRIED = (
    "platformdirs",
    *("mujoco", "mujoco-core", "glfw", "pyopengl"),
    *("lerobot", "transformers", "tokenizers", "huggingface-hub"),
    *("draccus", "mergedeep", "pyyaml-include", "toml", "typing-inspect", "mypy-extensions"),
    *("gymnasium", "cloudpickle", "farama-notifications", "termcolor"),
)
"""What an installation of PyTorch for research usually lacks, or has in another version."""
