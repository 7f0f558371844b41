"""What `frs episodes check` does with one episode: read every byte, and regenerate every chunk from its stored noise."""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console

from frs_core.commands.printing import mark, said
from frs_core.counts import counted
from frs_core.episodes import Episode, EpisodeStore
from frs_core.errors import ConfigError, EpisodeError, FrsError, unknown_name
from frs_core.policies import KNOWN, NamedPolicy
from frs_core.runtime import foreign
from frs_core.runtime.address import shown
from frs_core.runtime.registry import Option

if TYPE_CHECKING:
    from frs_core.policies import FlowPolicy


class Checker:
    """Checks episodes one by one, each with the policy it names, and returns a result for each."""

    def __init__(
        self,
        store: EpisodeStore,
        page: Console,
        *,
        policy: str | None,
        options: dict[str, Option] | None,
        is_deep: bool,
        has_images: bool,
    ) -> None:
        self._store, self._page, self._policy, self._options = store, page, policy, options
        self._is_deep, self._has_images = is_deep, has_images
        self._loaded: dict[str, FlowPolicy | FrsError] = {}
        self.good, self.unchecked, self.worst = 0, 0, math.nan

    def check(self, name: str) -> None:
        """Check one episode; every problem is reported in its line."""
        try:
            episode = self._store.open(name)
            if self._is_deep:
                episode.verify()
            is_good, mark_text, text = self._regenerated(episode)
            if not episode.is_tied:
                text += " (from before facts were tied to files: a zarr.json of another episode would not be noticed)"
        except EpisodeError as error:
            is_good, mark_text, text = False, ("✗", "red"), str(error)
        except foreign.MALFORMED as error:
            is_good, mark_text, text = False, ("✗", "red"), f"holds what no recording holds: {foreign.said(error)}"
        self.good += is_good
        self._page.print(mark(*mark_text), f"{name}  {text}", soft_wrap=True)

    def close(self) -> None:
        """Close the policies."""
        for loaded in self._loaded.values():
            if not isinstance(loaded, FrsError):
                loaded.close()

    def _regenerated(self, episode: Episode) -> tuple[bool, tuple[str, str], str]:
        """Return (whether it is good, mark, words) of the stored noises."""
        from frs_core.episodes.check import check as check_episode
        from frs_core.episodes.check import has_noises

        if not has_noises(episode):
            files = "every file is complete, " if self._is_deep else ""
            return True, ("✓", "green"), f"{files}no chunk has a stored noise, so none is regenerated"
        try:
            report = check_episode(episode, self._policy_of(episode), from_features=False if self._has_images else None)
        except EpisodeError:
            raise
        except (FrsError, RuntimeError, OSError) as error:
            # A policy that fails on one episode must not prevent the checks of the others.
            self.unchecked += 1
            options = (
                _as_words(episode.meta.policy_options) if self._policy is not None and self._options is None else ""
            )
            hint = f" It was recorded with --policy-options {options}." if options else ""
            return False, ("?", "yellow"), f"not checked: {said(error)}{hint}"
        if report.n_checked:
            self.worst = report.worst if math.isnan(self.worst) else max(self.worst, report.worst)
        how, skipped = "features" if report.uses_features else "images", len(report.chunks) - report.n_checked
        return (
            report.is_good,
            ("✓", "green") if report.is_good else ("✗", "red"),
            f"worst error {report.worst:.2e} over {counted(report.n_checked, 'chunk')}, from {how}"
            f"{f', {skipped} without a noise' if skipped else ''}",
        )

    def _policy_of(self, episode: Episode) -> "FlowPolicy":
        """Return the wanted policy, loaded once. Raises FrsError, the same one each time."""
        name = self._policy or episode.meta.policy
        recorded = dict(episode.meta.policy_options) if self._policy is None else {}
        options = recorded if self._options is None else self._options
        wanted = json.dumps([name, options], sort_keys=True)
        if wanted not in self._loaded:
            try:
                # A recording may name a policy, but no code of its own, and no file or address that is opened here.
                if self._policy is None and ":" in name:
                    raise unknown_name("policy", name, KNOWN)
                if self._options is None and any(isinstance(value, str) for value in options.values()):
                    raise ConfigError(
                        f"Policy '{name}' was loaded with --policy-options {_as_words(options)}, and files and addresses that a recording names are not "
                        f"opened unasked. Give --policy and --policy-options."
                    )
                self._loaded[wanted] = NamedPolicy(name, options).load()
            except FrsError as error:
                self._loaded[wanted] = error
        loaded = self._loaded[wanted]
        if isinstance(loaded, FrsError):
            raise loaded
        return loaded


def _as_words(options: Mapping[str, Option]) -> str:
    return " ".join(f"{option} {shown(value)}" for option, value in options.items())
