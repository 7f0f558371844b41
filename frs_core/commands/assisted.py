"""`frs eval assisted`: what asking for help is worth, measured with the scripted operator.

Example: `frs eval assisted --tasks can_on_plate --rounds 4 --out runs/assisted`.
"""

from collections.abc import Mapping
from pathlib import Path

from rich.markdown import Markdown

from frs_core.commands.printing import console
from frs_core.counts import counted
from frs_core.evaluation.assisted import Assisted, AssistedSettings, Attempt, table
from frs_core.evaluation.setup import SetupSpec, open_setup
from frs_core.policies import NamedPolicy, PolicyOptions, WorldsPolicyName, usual_policy
from frs_core.runtime.bounds import Count
from frs_core.runtime.registry import plain_options, without_secrets
from frs_core.worlds import DEFAULT as DEFAULT_WORLD
from frs_core.worlds import WorldName, WorldOptions

USUAL = AssistedSettings()
TABLE = "table.md"


def assisted(
    *,
    tasks: tuple[str, ...],
    rounds: Count = 4,
    out: Path = Path("runs/assisted"),
    settings: AssistedSettings = USUAL,
    world: WorldName = DEFAULT_WORLD,
    world_options: WorldOptions = None,
    policy: WorldsPolicyName = None,
    policy_options: PolicyOptions = None,
    scripted_operator: str = "",
) -> int:
    """Let the learned policy drive and the scripted operator answer only its calls for help, in rounds with learning in between.

    The same scenes are driven without help too. The same command continues after a stop; more --rounds continue from the last one.

    Args:
        tasks: Task names of the world, one after the other.
        rounds: Number of rounds in all.
        out: Folder of results, versions and recordings, one below it for each task.
        settings: Sizes; results of other ones are refused.
        world: Simulator.
        world_options: Options of the world: NAME VALUE ….
        policy: The generalist.
        policy_options: Options of the policy: NAME VALUE ….
        scripted_operator: Your own scripted operator, module:Class; default the world's.
    """
    page = console()
    spec = SetupSpec(
        world=world,
        world_options=plain_options(world_options),
        policy=NamedPolicy(policy or usual_policy(world), plain_options(policy_options)),
        operator=scripted_operator,
    )
    conditions: Mapping[str, object] = {
        "world": world,
        "world_options": without_secrets(spec.world_options),
        "operator": scripted_operator,
    }
    setup = open_setup(spec, tasks=tasks)
    by_task: dict[str, list[Attempt]] = {}

    def tell(task: str, attempt: Attempt) -> None:
        ended = "success" if attempt.success else "failure"
        helped = f", {counted(attempt.calls, 'call')}, {attempt.helped} steered" if attempt.kind == "assisted" else ""
        page.print(
            f"{task}, round {attempt.round}, {attempt.kind}, scene {attempt.seed}: {ended} in {counted(attempt.chunks, 'chunk')}{helped}"
        )

    try:
        for task in tasks:
            experiment = Assisted(setup, task=task, folder=out / task, settings=settings, conditions=conditions)
            by_task[task] = experiment.attempts
            experiment.run(rounds, lambda attempt, task=task: tell(task, attempt))
            (out / TABLE).write_text(table(by_task), encoding="utf-8")
    except KeyboardInterrupt:
        page.print(f"Stopped. Run the same command again to continue; results are in '{out}'.", soft_wrap=True)
        return 130
    finally:
        setup.close()
    page.print(Markdown(table(by_task)))
    page.print(f"Results in '{out}'", soft_wrap=True)
    return 0
