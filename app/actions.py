"""Every action of the cockpit, one row each.

Problem: menus, palette, help sheet, tooltips and shortcuts become inconsistent when each is written by hand. Idea: all of them
are made from one table, and a test checks it for conflicting bindings. A control is "key:…" (Qt's portable text) or a device's
"pad:…", "puck:…". The default bindings of a device are defined in its class.

Example: `ACTIONS["drive.hold"].controls` is `("key:Space", "key:Esc", "pad:start", "puck:button_right")`. Holds data only.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from frs_core.choosers.registry import ChooserSpec, choosers
from frs_core.devices import device_classes
from frs_core.devices.intent import ANY_SCOPE, InputMap
from frs_core.steering.directions import Direction

DRIVE, REVIEW, TRAIN, PRACTISE = "drive", "review", "train", "practise"


@dataclass(frozen=True, slots=True)
class Action:
    """One action, and how it is shown."""

    id: str
    text: str
    """Menu text, sentence case."""
    tooltip: str
    """One sentence, no full stop."""
    controls: tuple[str, ...] = ()
    menu: str = "Drive"
    """Its menu, and its section of the help sheet."""
    scope: str = ANY_SCOPE
    """Layout in which its controls work."""
    glyph: str = ""
    """Symbol on buttons and key caps."""
    is_held: bool = False
    """Active while pressed; not shown in menus and palette."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Default keys as portable text."""
        return tuple(c[4:] for c in self.controls if c.startswith("key:"))


def _row(
    id: str,
    text: str,
    tooltip: str,
    controls: str = "",
    menu: str = "Drive",
    scope: str = ANY_SCOPE,
    glyph: str = "",
    is_held: bool = False,
) -> Action:
    return Action(id, text, tooltip, tuple(controls.split()), menu, scope, glyph, is_held)


def _with_keys(rows: Mapping[str, ChooserSpec]) -> Iterator[ChooserSpec]:
    """Give every chooser without a key of its own the next free one of Alt+1 to Alt+9."""
    taken = {row.key for row in rows.values()}
    free = (key for key in (f"key:Alt+{digit}" for digit in range(1, 10)) if key not in taken)
    for row in rows.values():
        yield row if row.key else dataclasses.replace(row, key=next(free, ""))


STEER: Mapping[str, Direction] = MappingProxyType({f"steer.{d.value}": d for d in Direction})
"""Steering actions and the direction as the operator sees it."""

_ROWS = (
    # --- steering -------------------------------------------------------------------------------
    _row(
        "steer.forward",
        "Forward",
        "Pick the candidate that goes forward",
        "key:Up key:W",
        "Steer",
        DRIVE,
        "↑",
    ),
    _row(
        "steer.back",
        "Back",
        "Pick the candidate that goes back",
        "key:Down key:S",
        "Steer",
        DRIVE,
        "↓",
    ),
    _row(
        "steer.left",
        "Left",
        "Pick the candidate that goes left",
        "key:Left key:A",
        "Steer",
        DRIVE,
        "←",
    ),
    _row(
        "steer.right",
        "Right",
        "Pick the candidate that goes right",
        "key:Right key:D",
        "Steer",
        DRIVE,
        "→",
    ),
    _row(
        "steer.up",
        "Up",
        "Pick the candidate that goes up",
        "key:PgUp key:Q",
        "Steer",
        DRIVE,
        "⤒",
    ),
    _row(
        "steer.down",
        "Down",
        "Pick the candidate that goes down",
        "key:PgDown key:E",
        "Steer",
        DRIVE,
        "⤓",
    ),
    _row(
        "steer.other_step",
        "Other step size while held",
        "While held, a direction picks the other step size",
        "key:Shift",
        "Steer",
        DRIVE,
        "⇧",
        True,
    ),
    _row(
        "pick.unsteered",
        "Unsteered",
        "Pick what the policy does without steering",
        "key:Return key:Enter key:.",
        "Steer",
        DRIVE,
        "◇",
    ),
    _row("pick.learned", "Learned", "Pick the candidate of the learned noise policy", "key:L", "Steer", DRIVE, "★"),
    _row(
        "pick.suggestion",
        "Suggested",
        "Pick the suggested candidate",
        "key:V",
        "Steer",
        DRIVE,
        "✓",
    ),
    _row(
        "gripper.toggle",
        "Gripper",
        "Request the other gripper state, or leave it to the policy again",
        "key:G",
        "Steer",
        DRIVE,
        "›‹",
    ),
    _row(
        "pick.stay_close",
        "Close here",
        "Stay and close the gripper",
        "key:H",
        "Steer",
        DRIVE,
        "›‹",
    ),
    _row("pick.stay_open", "Open here", "Stay and open the gripper", "key:J", "Steer", DRIVE, "‹›"),
    _row(
        "gripper.policy",
        "Leave gripper to policy",
        "The policy controls the gripper",
        "key:Shift+G",
        "Steer",
        DRIVE,
    ),
    _row("gripper.open", "Open gripper", "Steered candidates open the gripper", "key:O", "Steer", DRIVE),
    _row("gripper.close", "Close gripper", "Steered candidates close the gripper", "key:K", "Steer", DRIVE),
    _row(
        "chunk.back",
        "Back one chunk",
        "Take back the pick that waits; else, in simulation, return exactly to the previous chunk boundary",
        "key:Backspace",
        "Steer",
        DRIVE,
        "⟲",
    ),
    # --- driving --------------------------------------------------------------------------------
    _row(
        "drive.hold",
        "Hold",
        "Stop motion and keep the arm where it is; software only, not an emergency stop",
        "key:Space key:Esc",
        "Drive",
        ANY_SCOPE,
        "■",
    ),
    _row("drive.resume", "Resume", "End the hold and show a new fan", "key:C", "Drive", DRIVE, "▶"),
    _row(
        "drive.pacing",
        "Gated or continuous",
        "Gated waits for a pick; continuous follows the held direction",
        "key:P",
        "Drive",
        DRIVE,
    ),
    _row("drive.unmark", "Remove the mark", "Remove the target that was marked", "key:Shift+M", "Drive", DRIVE),
    _row(
        "drive.look_ahead",
        "Look one pick ahead",
        "Take a press while the robot moves as the next pick; off on a real robot until switched on here",
        "key:Shift+P",
        "Drive",
        DRIVE,
    ),
    _row(
        "drive.frame",
        "Robot or camera frame",
        "Choose whether left means the robot's left or the camera's",
        "key:F",
        "Drive",
        DRIVE,
    ),
    *(
        _row(
            f"driver.{row.id}",
            f"{row.title.strip('★ ')} drives",
            row.tooltip,
            row.key,
            "Drive",
            DRIVE,
            "★" if "★" in row.title else "",
        )
        for row in _with_keys(choosers())
    ),
    _row(
        "knob.step", "Step size less or more", "Switch the step size that a direction picks", "key:Z", "Settings", DRIVE
    ),
    _row(
        "knob.depth_less",
        "Less reversal depth",
        "Reverse fewer steps: closer to the request",
        "key:[",
        "Settings",
        DRIVE,
    ),
    _row(
        "knob.depth_more",
        "More reversal depth",
        "Reverse more steps: closer to the policy's own behaviour",
        "key:]",
        "Settings",
        DRIVE,
    ),
    _row(
        "knob.seed",
        "New noise",
        "Draw new noise for what the command leaves open",
        "key:R",
        "Settings",
        DRIVE,
        "⚄",
    ),
    _row(
        "knob.plan_default",
        "Calibrated settings",
        "Return to the steering settings calibrated for this policy",
        "key:Shift+R",
        "Settings",
        DRIVE,
    ),
    _row(
        "world.reconnect",
        "Reconnect",
        "Start the world and the policy again after a fault",
        "key:Ctrl+Shift+R",
        "Drive",
        ANY_SCOPE,
        "⟳",
    ),
    # --- episodes -------------------------------------------------------------------------------
    _row("episode.task", "Task…", "Choose the task that the next episode starts with", "key:Ctrl+O", "Episode", DRIVE),
    _row("episode.scene", "Scene…", "Enter the scene number of the next episode", "key:Ctrl+G", "Episode", DRIVE),
    _row("episode.start", "Start episode", "Reset the world and show the first fan", "key:N", "Episode", DRIVE, "●"),
    _row(
        "episode.success_next",
        "Success, next",
        "Keep the episode as a success and start the next one; without an open episode, start one",
        "key:Y",
        "Episode",
        DRIVE,
        "✔",
    ),
    _row(
        "episode.auto_next",
        "Next by itself",
        "Simulation only: two seconds after the world reports success, save the episode and start the next one",
        "key:Shift+Y",
        "Episode",
        DRIVE,
    ),
    _row("episode.stay", "Stay in this episode", "Stop the countdown to the next episode", "", "Episode", DRIVE),
    _row(
        "episode.success",
        "Success",
        "End the episode and keep it as a success",
        "key:Ctrl+Return key:Ctrl+Enter",
        "Episode",
        DRIVE,
        "✔",
    ),
    _row(
        "episode.failure",
        "Failure",
        "End the episode and keep it as a failure",
        "key:Ctrl+Backspace",
        "Episode",
        DRIVE,
        "✘",
    ),
    _row(
        "episode.discard",
        "Discard",
        "End the episode and move it to the bin",
        "key:Ctrl+Shift+Backspace",
        "Episode",
        DRIVE,
        "⊘",
    ),
    _row("episode.note", "Note…", "Write a note that is kept with the episode", "key:T", "Episode", DRIVE, "✎"),
    _row(
        "episode.practice", "Practice mode", "Record nothing from the next episode on", "key:Ctrl+P", "Episode", DRIVE
    ),
    _row(
        "episode.summary",
        "Session summary",
        "Successes, time per episode, corrections and undone chunks of this session and of all recordings",
        "key:Ctrl+Shift+E",
        "Episode",
    ),
    _row(
        "episode.undo_last",
        "Bin the last episode",
        "Move the last recorded episode to the bin; it can be restored",
        "key:Ctrl+D",
        "Episode",
        ANY_SCOPE,
    ),
    _row(
        "episode.keep_unfinished",
        "Keep the unfinished episode",
        "Keep the episode that a crash left unfinished, with its label or as a failure",
        "",
        "Episode",
    ),
    _row(
        "episode.bin_unfinished",
        "Bin the unfinished episode",
        "Move the episode that a crash left unfinished to the bin",
        "",
        "Episode",
    ),
    _row(
        "edit.undo",
        "Undo",
        "Undo the last label, note or move to the bin; motion is never undone here",
        "key:Ctrl+Z",
        "Episode",
    ),
    _row("edit.redo", "Redo", "Redo what was undone", "key:Ctrl+Shift+Z", "Episode"),
    # --- view -----------------------------------------------------------------------------------
    _row("layout.drive", "Drive", "Cameras, fan and verdicts", "key:1", "View"),
    _row("layout.review", "Review", "Recorded episodes", "key:2", "View"),
    _row("layout.train", "Train", "Train a noise policy from episodes", "key:3", "View"),
    _row("layout.practise", "Practise", "Let the robot get better by trying by itself", "key:4", "View"),
    _row("camera.next", "Next camera", "Make the next camera the large one", "key:Tab", "View", DRIVE),
    _row(
        "camera.enlarge", "Enlarge camera", "Show only the large camera, or all cameras again", "key:M", "View", DRIVE
    ),
    _row(
        "view.other_step",
        "Show the other step size",
        "Draw the candidates of the other step size, thin",
        "key:X",
        "View",
        DRIVE,
    ),
    _row("view.reference", "Show the request", "Draw the requested path as a thin dashed line", "key:B", "View", DRIVE),
    _row("view.theme", "Dark or light", "Switch between the dark and the light theme", "key:Ctrl+T", "View"),
    _row("view.fullscreen", "Full screen", "Fill the screen, or return to a window", "key:F11", "View"),
    _row("view.reset_layout", "Reset layout", "Reset the sizes of the panes in this layout", "key:Ctrl+0", "View"),
    # --- review ---------------------------------------------------------------------------------
    _row("review.play", "Play or pause", "Play the episode, or pause it", "key:P", "Review", REVIEW, "▶"),
    _row("review.frame_back", "Frame back", "Go one frame back", "key:Left", "Review", REVIEW, "◂"),
    _row("review.frame_forward", "Frame forward", "Go one frame forward", "key:Right", "Review", REVIEW, "▸"),
    _row(
        "review.chunk_back",
        "Chunk back",
        "Go to the previous chunk boundary",
        "key:PgUp key:Ctrl+Left",
        "Review",
        REVIEW,
        "|◂",
    ),
    _row(
        "review.chunk_forward",
        "Chunk forward",
        "Go to the next chunk boundary",
        "key:PgDown key:Ctrl+Right",
        "Review",
        REVIEW,
        "▸|",
    ),
    _row("review.first", "First frame", "Go to the start of the episode", "key:Home", "Review", REVIEW),
    _row("review.last", "Last frame", "Go to the end of the episode", "key:End", "Review", REVIEW),
    _row("review.slower", "Slower", "Halve the playing speed", "key:-", "Review", REVIEW),
    _row("review.faster", "Faster", "Double the playing speed", "key:= key:+", "Review", REVIEW),
    _row("review.next_episode", "Next episode", "Open the next episode of the list", "key:Down", "Review", REVIEW),
    _row(
        "review.previous_episode",
        "Previous episode",
        "Open the previous episode of the list",
        "key:Up",
        "Review",
        REVIEW,
    ),
    _row(
        "review.success",
        "Mark as success",
        "Change the label of the selected episodes to success",
        "key:S",
        "Review",
        REVIEW,
        "✔",
    ),
    _row(
        "review.failure",
        "Mark as failure",
        "Change the label of the selected episodes to failure",
        "key:F",
        "Review",
        REVIEW,
        "✘",
    ),
    _row(
        "review.trim_start",
        "Begin here",
        "Leave out the chunks before this one; they stay on disk, and Ctrl+Z brings them back",
        "key:[",
        "Review",
        REVIEW,
        "⟦",
    ),
    _row(
        "review.trim_end",
        "End here",
        "Leave out the chunks after this one; they stay on disk, and Ctrl+Z brings them back",
        "key:]",
        "Review",
        REVIEW,
        "⟧",
    ),
    _row(
        "review.untrim",
        "Whole episode",
        "Bring back the chunks that were left out at the ends",
        "key:\\",
        "Review",
        REVIEW,
    ),
    _row("review.note", "Edit note…", "Change the note of the selected episode", "key:T", "Review", REVIEW, "✎"),
    _row(
        "review.bin",
        "Move to bin",
        "Move the selected episodes to the bin; nothing is deleted",
        "key:Del",
        "Review",
        REVIEW,
    ),
    _row(
        "review.restore",
        "Restore from bin",
        "Restore the selected episodes from the bin",
        "key:Ctrl+Shift+B",
        "Review",
        REVIEW,
    ),
    _row(
        "review.show_bin",
        "Show the bin",
        "Show the episodes in the bin, or the others again",
        "key:Ctrl+B",
        "Review",
        REVIEW,
    ),
    _row(
        "review.filter",
        "Filter episodes…",
        "Show only the episodes that contain these words",
        "key:Ctrl+F",
        "Review",
        REVIEW,
    ),
    _row("review.export", "Export…", "Export the selected episodes to another format", "key:Ctrl+E", "Review", REVIEW),
    _row("review.refresh", "Refresh", "Read the episodes from disk again", "key:F5", "Review", REVIEW, "⟳"),
    # --- train ----------------------------------------------------------------------------------
    _row(
        "train.start",
        "Train",
        "Train the selected learner on the ticked episodes",
        "key:Ctrl+Return",
        "Train",
        TRAIN,
        "▶",
    ),
    _row(
        "train.stop",
        "Stop and keep the best",
        "Stop training and keep the best weights so far",
        "key:Ctrl+Backspace",
        "Train",
        TRAIN,
        "■",
    ),
    _row("train.use", "Use it", "Add the learned candidate to the fan", "key:U", "Train", TRAIN, "★"),
    _row(
        "train.unload",
        "Remove learned candidate",
        "Remove the learned candidate from the fan",
        "key:Shift+U",
        "Train",
        TRAIN,
    ),
    _row("train.successes", "Choose all successes", "Tick only the successful episodes", "key:S", "Train", TRAIN),
    _row(
        "train.evaluate",
        "Compare in simulation",
        "Run fresh episodes with and without the trained policy",
        "key:Ctrl+E",
        "Train",
        TRAIN,
    ),
    # --- practise -------------------------------------------------------------------------------
    _row(
        "practise.start",
        "Practise",
        "Start a new practice, or continue the one that is selected",
        "key:Ctrl+Return",
        "Practise",
        PRACTISE,
        "▶",
    ),
    _row(
        "practise.stop",
        "Stop practising",
        "Stop after the attempt in progress; the best version is kept, and the practice can continue",
        "key:Ctrl+Backspace",
        "Practise",
        PRACTISE,
        "■",
    ),
    _row("practise.new", "New practice", "Set up a new practice", "key:Ctrl+N", "Practise", PRACTISE),
    _row("practise.next", "Next practice", "Show the next practice of the list", "key:Down", "Practise", PRACTISE),
    _row("practise.previous", "Previous practice", "Show the previous one", "key:Up", "Practise", PRACTISE),
    _row("practise.older", "Older version", "Select the version before", "key:PgDown", "Practise", PRACTISE),
    _row("practise.newer", "Newer version", "Select the version after", "key:PgUp", "Practise", PRACTISE),
    _row(
        "practise.use",
        "Use it",
        "Add the selected version to the fan as the learned candidate",
        "key:U",
        "Practise",
        PRACTISE,
        "★",
    ),
    _row(
        "practise.back",
        "Go back to it",
        "Begin a practice that goes on from the selected version; this one stays as it is",
        "key:B",
        "Practise",
        PRACTISE,
        "⟲",
    ),
    _row(
        "practise.unload",
        "Remove learned candidate",
        "Remove the learned candidate from the fan",
        "key:Shift+U",
        "Practise",
        PRACTISE,
    ),
    # --- help -----------------------------------------------------------------------------------
    _row("help.keys", "Keys", "Show the keyboard map", "key:F1", "Help"),
    _row("help.palette", "Command palette…", "Find an action by typing", "key:Ctrl+K key:Ctrl+Shift+P", "Help"),
    _row("help.first_run", "First steps", "Show the introduction again", "", "Help"),
    _row("settings.devices", "Keys and devices…", "Change keys and test devices", "key:Ctrl+,", "Help"),
    _row("help.notices", "Notices", "All messages of this run, newest first", "key:Ctrl+Shift+N", "Help"),
    _row("help.diagnostics", "Save diagnostics…", "Save log, settings and versions in one zip file", "", "Help"),
    _row("help.about", "About", "Versions, licences and the safety text", "", "Help"),
    _row("app.quit", "Quit", "Hold, finish writing and close the window", "key:Ctrl+Q", "Help"),
)

DEVICES = device_classes()
"""The devices other than the keyboard, in the order of columns."""


def _bound(row: Action) -> Action:
    """Return a row with the default bindings of all devices added after its keys."""
    controls = (c for device in DEVICES for c in device.bindings.get(row.id, ()))
    return dataclasses.replace(row, controls=(*row.controls, *controls))


ACTIONS: Mapping[str, Action] = MappingProxyType({a.id: _bound(a) for a in _ROWS})
MENUS = ("Drive", "Steer", "Settings", "Episode", "View", "Review", "Train", "Practise", "Help")

KEY_CAPS: Mapping[str, str] = MappingProxyType(
    {
        "Left": "←",
        "Right": "→",
        "Up": "↑",
        "Down": "↓",
        "PgUp": "PgUp",
        "PgDown": "PgDn",
        "Return": "⏎",
        "Enter": "⌤",
        "Backspace": "⌫",
        "Esc": "Esc",
        "Del": "Del",
    }
)


def key_cap(key: str) -> str:
    """Return the text of a key cap for a key's portable text, e.g. 'Ctrl+⏎'."""
    head, plus, last = key.rpartition("+")
    if key in ("+", "") or not last:
        return key
    return f"{head}{plus}{KEY_CAPS.get(last, last)}"


def default_map(overrides: Mapping[str, list[str]] | None = None) -> InputMap:
    """Return the input map of the table, with the operator's own bindings applied."""
    return InputMap(
        {a.id: a.controls for a in ACTIONS.values()},
        scopes={a.id: a.scope for a in ACTIONS.values()},
        overrides=overrides,
    )


def columns_of(controls: Sequence[str], gap: str) -> list[str]:
    """Return controls as text, one column for the keyboard and one for each device."""
    keys = gap.join(key_cap(c[4:]) for c in controls if c.startswith("key:"))
    words = (
        gap.join(c.removeprefix(f"{d.prefix}:").replace("_", " ") for c in controls if c.startswith(f"{d.prefix}:"))
        for d in DEVICES
    )
    return [keys, *words]


def cap_of(action: str, inputs: InputMap) -> str:
    """Return the key cap of an action's first key, or an empty string."""
    for control in inputs.controls(action):
        if control.startswith("key:"):
            return key_cap(control[4:])
    return ""


def tooltip_of(action: str, inputs: InputMap) -> str:
    """Return 'sentence  (keys)' as shown on every button of the action."""
    keys = [key_cap(c[4:]) for c in inputs.controls(action) if c.startswith("key:")]
    row = ACTIONS[action]
    return f"{row.tooltip}  ({' or '.join(keys)})" if keys else row.tooltip
