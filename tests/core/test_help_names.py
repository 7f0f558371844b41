"""What the help offers exists: every name of a world or a policy has a module that answers to it."""

import re

import pytest

from app import main
from frs_core.errors import ConfigError
from frs_core.policies import KNOWN as POLICIES
from frs_core.runtime.registry import resolve
from frs_core.worlds import KNOWN as WORLDS


@pytest.mark.parametrize(("option", "known"), [("world", WORLDS), ("policy", POLICIES)])
def test_the_help_names_exactly_what_is_known(option: str, known: dict[str, str]) -> None:
    line = re.search(rf"^ *{option}: [^:]*: (.*), one of an installed package", main.run.__doc__ or "", re.MULTILINE)
    assert line is not None
    assert line[1].split(", ") == list(known)


@pytest.mark.parametrize(("kind", "known"), [("world", WORLDS), ("policy", POLICIES)])
def test_every_name_resolves(kind: str, known: dict[str, str]) -> None:
    for name in known:
        assert callable(resolve(kind, name, known))


def test_an_adviser_that_this_run_does_not_have_is_named_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.delenv("FRS_VLM_URL", raising=False)
    with pytest.raises(ConfigError, match=r"--advisor vlm cannot suggest picks.*start with --vlm"):
        main.run(advisor="vlm", safe_mode=True)
    with pytest.raises(ConfigError, match="vlm"):
        main.run(advisor="vln", safe_mode=True)
