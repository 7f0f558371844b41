"""What the help offers exists: every name of a world or a policy has a module that answers to it."""

from typing import get_type_hints

import pytest
from typing_extensions import Doc

from app import main
from frs_core.errors import ConfigError
from frs_core.policies import KNOWN as POLICIES
from frs_core.runtime.registry import resolve
from frs_core.worlds import KNOWN as WORLDS


@pytest.mark.parametrize(("option", "known"), [("world", WORLDS), ("policy", POLICIES)])
def test_the_help_names_exactly_what_is_known(option: str, known: dict[str, str]) -> None:
    # The parser adds its own marks to an optional argument's.
    marks = get_type_hints(main.run, include_extras=True)[option].__metadata__
    [text] = {mark.documentation for mark in marks if isinstance(mark, Doc)}
    assert f": {', '.join(known)}, one of an installed package, or" in text


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
