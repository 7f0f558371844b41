"""Acts: what a person does that leads to motion, and when it no longer counts (after a hold, or when read too late).

Example: a pick of epoch 4 is read in epoch 5: "The pick was ignored: it came before the hold. Press it again".
"""

from frs_core import events as ev


def why_stale(
    command: ev.SessionCommand,
    epoch: int,
    pressed_ns: int | None,
    *,
    present: int,
    now_s: float,
    life_s: float,
) -> str | None:
    """Return why a command is no longer executed; None if it is.

    Args:
        command: what is asked.
        epoch: hold epoch it was asked for in.
        pressed_ns: when; None = just now, or it was taken in time and waited in the session.
        present: the present hold epoch.
        now_s: by the clock of `pressed_ns`, seconds.
        life_s: how old a press may be, seconds.
    """
    act = _name_of(command)
    if act is None:
        return None
    # Who drives, and how, may outlive a hold: without a mandate of the present epoch nothing follows from it.
    if epoch != present and not isinstance(command, ev.SetDriver | ev.SetPacing):
        return f"{act} was ignored: it came before the hold. Press it again"
    age_s = 0.0 if pressed_ns is None else now_s - pressed_ns / 1e9
    if age_s > life_s:
        return f"{act} was ignored: it arrived {age_s:.1f} s after the press. Press it again"
    return None


def _name_of(command: ev.SessionCommand) -> str | None:
    """Return the name of a command that leads to motion; None for others."""
    match command:
        case ev.StartEpisode():
            return "The start"
        case ev.Pick():
            return "The pick"
        case ev.HoldDirection() if command.label is not None:
            return "The held direction"
        case ev.Resume():
            return "Resume"
        case ev.BackOneChunk():
            return "Back"
        case ev.HandBack():
            return "Handing back"
        case ev.SetDriver() if command.driver is not ev.Driver.PERSON:
            return "The change of driver"
        case ev.SetPacing() if command.pacing is ev.Pacing.CONTINUOUS:
            return "The change of pacing"
        case _:
            return None
